// One Compose call: audio goes up, frames come down against credit, and whoever has seen enough cancels.

import { createReadStream } from "node:fs";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const PROTOS = fileURLToPath(new URL("../../protos", import.meta.url));
const CHUNK_BYTES = 65_536; // most that the contract lets one message hold

/** Makes a client of the composer at "host:port", on this machine or behind a tunnel: it speaks plaintext. */
export function connect(target) {
  const contract = loader.loadSync("deepsing/v1/composer.proto", {
    includeDirs: [PROTOS],
    keepCase: true,
    longs: Number, // frames are counted far below 2^53
    enums: String,
    defaults: true,
    oneofs: true, // message.payload names the field that is set
  });
  const { ComposerService } = grpc.loadPackageDefinition(contract).deepsing.v1;
  return new ComposerService(target, grpc.credentials.createInsecure());
}

/**
 * Makes the story of a song; yields the contract's messages as {kind, ...fields}.
 *
 * credit: frames that may be on their way; as many more are granted as the caller of this generator has taken.
 * deadlineS: seconds for the whole call; then it fails with DEADLINE_EXCEEDED.
 * Leaving the loop early (break, return, throw) cancels the call, and the composer stops painting.
 */
export async function* compose(client, song, config, { credit = 24, deadlineS } = {}) {
  const call = client.Compose({ deadline: deadlineS === undefined ? Infinity : Date.now() + deadlineS * 1000 });
  const upload = send(call, song, { ...config, initial_credit: credit });
  upload.catch((error) => call.destroy(error)); // a song that cannot be read ends the call
  let taken = 0;
  try {
    for await (const message of call) {
      const kind = message.payload;
      yield { kind, ...message[kind] };
      taken += kind === "frame";
      if (taken >= credit / 2) {
        call.write({ credit: taken });
        taken = 0;
      }
    }
  } finally {
    call.cancel(); // of no effect where the story is over
  }
}

async function send(call, song, config) {
  call.write({ config });
  for await (const chunk of createReadStream(song, { highWaterMark: CHUNK_BYTES })) {
    if (call.destroyed || call.writableEnded) return;
    if (!call.write({ audio_chunk: chunk })) await Promise.race([once(call, "drain"), once(call, "close")]);
  }
  call.write({ end_of_audio: {} }); // the call stays open: credit still goes up
}
