"""An engine: paints pictures from points of its space, whatever network its file holds."""

from math import ceil

import numpy as np
import numpy.typing as npt

from services.generator.canvas import Canvas
from services.generator.concepts import RATERS as CONCEPT_RATERS
from services.generator.concepts import concepts_from_json
from services.generator.session import Session

__all__ = ["EXPORTERS", "PAINT_RATES", "RATERS", "Engine"]

F32 = npt.NDArray[np.float32]

# Kind of engine, as its manifest names it, and the program that writes such a file:
#   canvas       codes of rated pictures and a small decoder, 640 x 512 px; can paint other shapes around each picture's
#                subject. The shipped engine is one.
#   biggan-deep  the classes of ImageNet at 128, 256 or 512 px, from weights that the user brings. Its graph mixes the
#                classes' embeddings, keeps noise within two standard deviations before it scales it, and takes the
#                batch statistics of the row's truncation.
EXPORTERS = {"canvas": "training.generator.canvas.export", "biggan-deep": "training.generator.biggan_deep.export"}
# Pictures a second that a story of each kind needs; the composer blends the others. A front between two concepts takes
# a second or more to cross a picture, so 12 a second, blended to 24, are close to 24 painted ones. biggan-deep takes
# half a second a picture on two cores, and its concepts fade into each other in any case. Not measured while serving:
# all replicas must say the same.
PAINT_RATES = {"canvas": 12.0, "biggan-deep": 2.0}
RATERS = (*CONCEPT_RATERS, "mixed")  # who may have rated an engine's concepts; mixed: people some, a model the rest


class Engine:
    """Paints from one self-contained ONNX file, whose graph makes pictures of class weights, noise and truncation.

    Pure: equal batches give equal pictures, to the last bit. A row may round otherwise in another batch; a caller that
    needs it to be the same paints in runs of one length.

    Args:
        name: by which requests choose the engine.
        digest: lower-case hex SHA-256 of the file, which decides every pixel and concept.
        session: the opened file.
        kind: a key of EXPORTERS.
        rated_by: one of RATERS; empty if unknown.

    Attributes:
        native_size_px: width, height.
        paint_rate: pictures a second that a story of it needs.
        noise_size: Z.
        concepts: K, in the order of class weights.
        rater: who rated those concepts that do not say it themselves: people or model, or "" if that differs.

    Raises:
        ValueError: the file was not exported for serving, or by an earlier release.
    """

    def __init__(self, name: str, digest: str, session: Session, *, kind: str = "canvas", rated_by: str = "") -> None:
        self.name, self.digest, self.rated_by, self._session = name, digest, rated_by, session
        self.rater = rated_by if rated_by in CONCEPT_RATERS else ""
        self.paint_rate = PAINT_RATES[kind]
        facts = session.get_modelmeta().custom_metadata_map
        missing = [key for key in ("concepts", "noise_size") if key not in facts]
        if missing:
            raise ValueError(f"engine {name!r} has no {missing[0]} in its file; write it with {EXPORTERS[kind]}")
        self.concepts = concepts_from_json(facts["concepts"])
        self.noise_size = int(facts["noise_size"])
        self._place_px = int(facts.get("place_px", 0))  # 0: paints its own shape only
        self._canvas: Canvas | None = None
        if self._place_px:
            if "decoded" not in [output.name for output in session.get_outputs()]:
                raise ValueError(f"engine {name!r} is of an earlier release; write it again with {EXPORTERS[kind]}")
            self._canvas = Canvas(session, self._place_px, self.noise_size)
            width, height = facts["native_size"].split("x")
        else:
            _, height, width, _ = session.get_outputs()[0].shape
        self.native_size_px = (int(width), int(height))

    def paint(
        self, class_weights: F32, noise: F32, truncation: F32, shape_px: tuple[int, int] | None = None
    ) -> npt.NDArray[np.uint8]:
        """Paints a batch.

        Args:
            class_weights: (N, K), rows on the simplex.
            noise: (N, Z), of unit variance.
            truncation: (N,), in [0, 1].
            shape_px: width, height of what will be shown, of which the ratio counts; None is the native size.

        Returns:
            (N, H, W, 3), RGB, of the native size; or, if the engine can, only about the part that has the shape, with
            each concept's subject in it: one side is the native one, the other a little longer than needed.
        """
        if self._canvas is not None:
            window = self._choose_window(shape_px or self.native_size_px)
            return self._canvas.paint(class_weights, noise, truncation, window)
        given = {"class_weights": class_weights, "noise": noise, "truncation": truncation}
        pictures: npt.NDArray[np.uint8] = self._session.run(None, given)[0]
        return pictures

    def _choose_window(self, shape_px: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of places that cover a shape, as many as fit into a picture."""
        width, height = self.native_size_px
        scale = min(width / shape_px[0], height / shape_px[1])
        columns, rows = (max(1, ceil(extent * scale / self._place_px - 1e-6)) for extent in shape_px)
        return rows, columns
