// node score_picture.js EXPORT PICTURE.png ...
//
// Prints of each picture: score, p-value, verdict, and the row and column where its anomaly map is highest. EXPORT is a
// folder that `oddgan export MODEL DATA --to onnx` wrote from a model of 8-bit pictures.

process.env.ORT_DISABLE_TELEMETRY ??= "1"; // ONNX Runtime sends events to its maker unless told not to

const fs = require("fs");
const path = require("path");
const ort = require("onnxruntime-node");
const { PNG } = require("pngjs");

/**
 * The tensor (1, height, width, channels) of a picture file, on black where it is transparent. What the model was not
 * trained on is refused: pictures deeper than 8 bits, and colour for a model of grey pictures or the other way round.
 */
function tensorOf(file, channels) {
  const { width, height, data, depth, color, colorType, palette } = PNG.sync.read(fs.readFileSync(file)); // data: four channels
  const grey = colorType === 3 ? palette.every(([red, green, blue]) => red === green && red === blue) : !color;
  const what = depth > 8 ? "is deeper than 8 bits" : grey ? "is grey" : "is in colour";
  if (depth > 8 || grey !== (channels === 1))
    throw new Error(`${file}: ${what}, and the model takes 8-bit ${channels === 1 ? "grey" : "colour"} pictures`);
  const values = new Uint8Array(width * height * channels);
  for (let i = 0; i < width * height; i++)
    for (let c = 0; c < channels; c++)
      values[i * channels + c] = Math.floor((data[4 * i + c] * data[4 * i + 3] + 127) / 255);
  return new ort.Tensor("uint8", values, [1, height, width, channels]);
}

/** The row and the column of the highest place of a map (1, height, width). */
function peakOf(map) {
  let highest = 0;
  map.data.forEach((value, i) => { if (value > map.data[highest]) highest = i; });
  return [Math.floor(highest / map.dims[2]), highest % map.dims[2]];
}

async function main([folder, ...pictures]) {
  const facts = JSON.parse(fs.readFileSync(path.join(folder, "oddgan.json"), "utf8"));
  if (!facts.verdict.outputs.length) throw new Error(`${folder}: ${facts.verdict.why_not}`);
  const session = await ort.InferenceSession.create(path.join(folder, "model.onnx"));
  for (const picture of pictures) {
    const x = tensorOf(picture, facts.input.shape[3]);
    const found = await session.run({ x }, facts.verdict.outputs);
    const peak = found.anomaly_map ? peakOf(found.anomaly_map) : [];
    const verdict = found.is_anomaly.data[0] ? "anomaly" : "normal";
    console.log(picture, found.score.data[0], found.p_value.data[0], verdict, ...peak);
  }
}

main(process.argv.slice(2)).catch((error) => { console.error(error.message); process.exit(1); });
