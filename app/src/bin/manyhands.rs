//! The native program: `manyhands peer` and `manyhands generate`. See `app::native`.

#[cfg(not(target_arch = "wasm32"))]
fn main() -> anyhow::Result<()> {
    app::native::main()
}

#[cfg(target_arch = "wasm32")]
fn main() {}
