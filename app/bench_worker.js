// Starts the compute worker's wasm for bench.html, which says in its query what to measure. Everything else is Rust.
import init, { bench } from "./worker.js";

const query = new URLSearchParams(location.search);
const number = (name, otherwise) => Number(query.get(name) ?? otherwise);

try {
  await init({ module_or_path: new URL("./worker_bg.wasm", import.meta.url) });
  postMessage({ stage: "Loading the model and measuring…" });
  const model = new URL(query.get("model") ?? "story/", location.href).href;
  const gpu = query.get("device") === "gpu";
  postMessage({ figures: await bench(model, gpu, number("prefill", 64), number("decode", 48), number("runs", 3)) });
} catch (error) {
  postMessage({ error: String(error?.message ?? error) });
}
