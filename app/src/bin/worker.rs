//! The compute worker's entry in a browser: see `app::compute`.

#[cfg(target_arch = "wasm32")]
fn main() {
    app::compute::web_worker::main();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!("this program is the browser's compute worker; natively run `manyhands`");
}
