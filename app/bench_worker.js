// Starts the compute worker's wasm for bench.html, which says in its query what to measure. Everything else is Rust.
import init, { bench, bench_pictures } from "./worker.js";

const query = new URLSearchParams(location.search);
const number = (name, otherwise) => Number(query.get(name) ?? otherwise);

try {
  await init({ module_or_path: new URL("./worker_bg.wasm", import.meta.url) });
  postMessage({ stage: "Loading the model and measuring…" });
  const gpu = query.get("device") === "gpu";
  const paints = query.has("steps");
  const model = new URL(query.get("model") ?? (paints ? "painter/" : "story/"), location.href).href;
  const runs = number("runs", 3);
  const figures = paints
    ? await bench_pictures(model, gpu, number("steps", 20), number("guidance", 4), number("side", 0), runs)
    : await bench(model, gpu, number("prefill", 64), number("decode", 48), runs);
  postMessage({ figures });
} catch (error) {
  postMessage({ error: String(error?.message ?? error) });
}
