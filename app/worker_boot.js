// Fetches the compute worker's wasm, saying how far it is, and starts it; its address ends with the build's version, and so do those
// of what it fetches. Everything else is Rust.
const { search } = new URL(import.meta.url);

const EVERY_BYTES = 256 * 1024;

try {
  const { default: init } = await import(`./worker.js${search}`);
  const response = await fetch(new URL(`./worker_bg.wasm${search}`, import.meta.url));
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
