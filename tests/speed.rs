//! How fast weights travel between two windows, beside a bare data channel in the same run. Measurements, printed; nothing
//! here judges a time.

use super::sharing::{holds_a_part, load};
use super::{BROWSERS, DESKTOP, ready};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::browser::{Driver, Tier, Window, built_app};
use tests::models::{LARGE, Model};
use tests::origin::Origin;
use tests::program::Server;

/// Bytes that go over the bare channel.
const BARE_BYTES: u64 = 64 << 20;

/// A data channel without anything around it, in messages of 16 KiB, a megabyte at most on its way.
const BARE: &str = r"
    window.bare = { connection: new RTCPeerConnection() };
    bare.connection.onicegatheringstatechange = () => {
        if (bare.connection.iceGatheringState === 'complete') bare.said = bare.connection.localDescription.toJSON();
    };
    bare.take = channel => {
        channel.binaryType = 'arraybuffer';
        let came = 0, began = 0;
        channel.onmessage = event => {
            if (came === 0) began = performance.now();
            came += event.data.byteLength;
            if (came >= BYTES) bare.ms = performance.now() - began;
        };
    };
    bare.give = channel => {
        const message = new Uint8Array(16384);
        let left = BYTES;
        channel.bufferedAmountLowThreshold = 256 * 1024;
        const more = () => {
            while (left > 0 && channel.bufferedAmount < 1024 * 1024) {
                channel.send(message);
                left -= message.length;
            }
        };
        channel.onbufferedamountlow = more;
        more();
    };
";

/// Two windows, of which one has a model of 64 MB and the other fetches it from there.
#[tokio::test]
#[ignore = "a measurement; run it by name"]
async fn weights_between_two_windows() -> Result<()> {
    let Some(app) = built_app() else { return Ok(()) };
    let _alone_on_this_machine = BROWSERS.lock().await;
    let (server, driver) = (Server::start(&app)?, Driver::start()?);
    let model = Model::make("fast", LARGE)?;
    let (origin, link) = (Origin::start(&model.path())?, server.link("speed"));
    let owner = driver.open(&link, Tier::Cpu, DESKTOP).await?;
    ready(&owner, Tier::Cpu).await?;
    load(&owner, &origin.url()).await?;
    holds_a_part(&owner).await?;
    origin.switch(false);
    let guest = driver.open(&link, Tier::Cpu, DESKTOP).await?;
    ready(&guest, Tier::Cpu).await?;
    let before = bare(&owner, &guest).await?;

    guest.script(SAMPLE).await?;
    guest.press("Use fast").await?;
    guest.until("list", "Shared models", |text| text.contains("64 MB here")).await?;
    let ours = rate(&guest.script("return window.seen").await?)?;
    let after = bare(&owner, &guest).await?;
    println!("verified blocks {ours:.1} MB/s; a bare channel {before:.1} before and {after:.1} after");
    println!("ratio {:.2}", ours * 2.0 / (before + after));
    owner.close().await?;
    guest.close().await
}

/// Notes what is shown as having come, and when.
const SAMPLE: &str = r"
    window.seen = [];
    setInterval(() => {
        const text = document.querySelector('.shared li .number')?.innerText ?? '';
        if (seen.at(-1)?.[1] !== text) seen.push([performance.now(), text]);
    }, 10);
";

/// Megabytes a second from the first eighth to the end.
fn rate(seen: &Value) -> Result<f64> {
    let megabytes = |text: &str| text.split_once(" MB of")?.0.parse::<f64>().ok();
    let samples: Vec<(f64, f64)> = seen
        .as_array()
        .context("samples")?
        .iter()
        .filter_map(|one| Some((one[0].as_f64()?, megabytes(one[1].as_str()?)?)))
        .filter(|(_, megabytes)| *megabytes >= 8.0)
        .collect();
    let (first, last) = (samples.first().context("a beginning")?, samples.last().context("an end")?);
    Ok((last.1 - first.1) / (last.0 - first.0) * 1000.0)
}

/// Megabytes a second over a channel of its own from one window to another.
async fn bare(from: &Window, to: &Window) -> Result<f64> {
    let script = BARE.replace("BYTES", &BARE_BYTES.to_string());
    for window in [from, to] {
        window.script(&script).await?;
    }
    from.script(
        "bare.channel = bare.connection.createDataChannel('bare', { ordered: false });
         bare.channel.onopen = () => bare.give(bare.channel);
         bare.connection.createOffer().then(offer => bare.connection.setLocalDescription(offer))",
    )
    .await?;
    to.script("bare.connection.ondatachannel = event => bare.take(event.channel)").await?;
    let offer = said(from).await?;
    to.script(&format!(
        "bare.connection.setRemoteDescription({offer}).then(() => bare.connection.createAnswer()).then(answer => bare.connection.setLocalDescription(answer))"
    ))
    .await?;
    let answer = said(to).await?;
    from.script(&format!("bare.connection.setRemoteDescription({answer})")).await?;
    to.until_script("return bare.ms > 0").await?;
    let ms = to.script("return bare.ms").await?.as_f64().context("a time")?;
    for window in [from, to] {
        window.script("bare.connection.close()").await?;
    }
    Ok(BARE_BYTES as f64 / ms / 1000.0)
}

/// A window's offer or answer, once all its addresses are in it.
async fn said(window: &Window) -> Result<Value> {
    window.until_script("return !!bare.said").await?;
    Ok(json!(window.script("return bare.said").await?))
}
