// Called by wasm.py: node wasm.mjs FOLDER MODEL.onnx INPUT OUTPUT FRAMES BINS. FOLDER has node_modules/onnxruntime-web.
import fs from "node:fs";
import { createRequire } from "node:module";

const [folder, model, input, output, frames, bins] = process.argv.slice(2);
const ort = createRequire(`${folder}/`)("onnxruntime-web");
ort.env.wasm.numThreads = 1;
const packed = new Float32Array(fs.readFileSync(input).buffer);
const feeds = { mixture: new ort.Tensor("float32", packed, [1, 4, Number(frames), Number(bins)]) };
const session = await ort.InferenceSession.create(fs.readFileSync(model));
const seconds = [];
let found;
for (let run = 0; run < 4; run++) {
  const started = performance.now();
  found = (await session.run(feeds))[session.outputNames[0]].data;
  seconds.push((performance.now() - started) / 1000);
}
fs.writeFileSync(output, found);
console.log(Math.min(...seconds.slice(1)));
