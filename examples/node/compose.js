// node compose.js SONG [--target HOST:PORT] [--fps N] [--credit N] [--frames N] [--deadline SECONDS]

import { access, constants } from "node:fs/promises";
import { parseArgs } from "node:util";
import grpc from "@grpc/grpc-js";
import { compose, connect } from "./story.js";

const USAGE = `node compose.js SONG [options]
  --target HOST:PORT   composer, as \`deepsing up\` serves it (default: 127.0.0.1:50051)
  --fps N              frames a second, 1 to 60 (default: 12)
  --credit N           frames granted at first: sent but not yet read (default: 24)
  --frames N           cancel after so many frames
  --deadline SECONDS   give up after so long`;

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      target: { type: "string", default: "127.0.0.1:50051" },
      fps: { type: "string", default: "12" },
      credit: { type: "string", default: "24" },
      frames: { type: "string", default: "Infinity" },
      deadline: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help || positionals.length !== 1) {
    console.log(USAGE);
    return values.help ? 0 : 2;
  }
  const [song] = positionals;
  await access(song, constants.R_OK);
  const client = connect(values.target);
  const config = { seed: 7, frame_rate: { numerator: Number(values.fps), denominator: 1 } };
  const options = { credit: Number(values.credit), deadlineS: values.deadline && Number(values.deadline) };
  try {
    return await show(compose(client, song, config, options), Number(values.frames));
  } finally {
    client.close();
  }
}

async function show(story, mostFrames) {
  let frames = 0, bytes = 0, shown = "";
  for await (const event of story) {
    if (event.kind === "session_started") {
      console.log(`started: ${event.size.width_px}x${event.size.height_px}, story ${event.story_digest.slice(0, 12)}`);
    } else if (event.kind === "frame") {
      frames += 1;
      bytes += event.image.length;
      const concept = event.concepts[0]?.name ?? "";
      if (concept !== shown) console.log(`frame ${event.seq} at ${(event.pts_us / 1e6).toFixed(2)} s: ${concept}`);
      shown = concept;
      if (frames >= mostFrames) {
        console.log(`cancelled after ${frames} frames, ${bytes} bytes`);
        return 0; // leaving the loop cancels the call
      }
    } else if (event.kind === "session_end") {
      const { arousal, valence } = event;
      console.log(`agreement: arousal r ${arousal.r.toFixed(2)}, valence r ${valence.r.toFixed(2)}`);
      console.log(`ended: ${frames} of ${event.frame_count} frames, ${bytes} bytes, digest ${event.frames_digest.slice(0, 12)}`);
    }
  }
  return 0;
}

main().then(
  (status) => (process.exitCode = status),
  (error) => {
    console.error(`${grpc.status[error.code] ?? error.code ?? "failed"}: ${error.details ?? error.message}`);
    process.exitCode = 1;
  },
);
