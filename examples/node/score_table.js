// node score_table.js EXPORT ROW.json ...
//
// Prints of each row: score, p-value and verdict. A row is an object by column, or an array where columns have no names:
// {"duration": 0.3, "protocol": "tcp", "bytes": null}. EXPORT is a folder that `oddgan export MODEL DATA --to onnx`
// wrote from a model of a table.

process.env.ORT_DISABLE_TELEMETRY ??= "1"; // ONNX Runtime sends events to its maker unless told not to

const fs = require("fs");
const path = require("path");
const ort = require("onnxruntime-node");

/** A value as the model takes it: a number, NaN where it is missing, or the code of a category. */
function encoded(value, column, file) {
  const missing = value === null || value === undefined;
  if (column.codes) {
    if (missing) return column.missing;
    const text = typeof value === "boolean" ? (value ? "True" : "False") : String(value);
    return Object.hasOwn(column.codes, text) ? column.codes[text] : column.other;
  }
  if (missing) return NaN;
  const number = typeof value === "boolean" ? Number(value) : value;
  if (!Number.isFinite(number)) // of a text, too
    throw new Error(`${file}: ${column.name ?? "a column"} is ${JSON.stringify(value)}: expected a number, or null`);
  return number;
}

/** A row as the model takes it, with exactly the columns that it was trained on. */
function rowOf(file, columns) {
  const row = JSON.parse(fs.readFileSync(file, "utf8"));
  if (row === null || typeof row !== "object") throw new Error(`${file}: expected an object or an array`);
  if (Array.isArray(row) && row.length !== columns.length)
    throw new Error(`${file}: has ${row.length} values, and the model takes ${columns.length}`);
  if (!Array.isArray(row)) {
    const missing = columns.find(({ name }) => !Object.hasOwn(row, name));
    if (missing) throw new Error(`${file}: has no ${missing.name}; a value that is missing is null`);
    const names = new Set(columns.map(({ name }) => name));
    const other = Object.keys(row).find((name) => !names.has(name));
    if (other !== undefined) throw new Error(`${file}: ${other} is no column of the model`);
  }
  return columns.map((column, i) => encoded(Array.isArray(row) ? row[i] : row[column.name], column, file));
}

async function main([folder, ...files]) {
  const facts = JSON.parse(fs.readFileSync(path.join(folder, "oddgan.json"), "utf8"));
  if (!facts.verdict.outputs.length) throw new Error(`${folder}: ${facts.verdict.why_not}`);
  const rows = files.map((file) => rowOf(file, facts.columns));
  const session = await ort.InferenceSession.create(path.join(folder, "model.onnx"));
  const x = new ort.Tensor("float64", Float64Array.from(rows.flat()), [rows.length, facts.columns.length]);
  const { score, p_value, is_anomaly } = await session.run({ x }, ["score", "p_value", "is_anomaly"]);
  files.forEach((file, i) =>
    console.log(file, score.data[i], p_value.data[i], is_anomaly.data[i] ? "anomaly" : "normal"));
}

main(process.argv.slice(2)).catch((error) => { console.error(error.message); process.exit(1); });
