// Fetches the compute worker's wasm, saying how far it is, and starts it. Everything else is Rust.
import init from "./worker.js";

const EVERY_BYTES = 256 * 1024;

try {
  const response = await fetch(new URL("./worker_bg.wasm", import.meta.url));
  if (!response.ok) throw new Error(`the engine could not be fetched (status ${response.status})`);
  let done = 0;
  let said = 0;
  const counted = response.body.pipeThrough(new TransformStream({
    transform(piece, out) {
      done += piece.byteLength;
      if (done - said >= EVERY_BYTES) postMessage((said = done));
      out.enqueue(piece);
    },
  }));
  await init({ module_or_path: new Response(counted, { headers: { "Content-Type": "application/wasm" } }) });
} catch (error) {
  postMessage(String(error?.message ?? error));
}
