//! A real Chromium, driven through its driver. Elements are found as a screen reader finds them, by role and name
//! in the accessibility tree, because those are the page's contract.

use crate::program::free_port;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use thirtyfour::{ChromeCapabilities, ChromiumLikeCapabilities, WebDriver};

/// Nothing in these tests may take longer; it is a bound, not a measure.
pub const LIMIT: Duration = Duration::from_secs(240);

/// Pixels on both sides of the pictures of these tests: what the shipped painter was trained for.
pub const PICTURE: u32 = 48;

/// Steps of these pictures: enough for a middle.
pub const STEPS: u32 = 24;

/// Headless, several peers on one machine, without calls home.
const FLAGS: [&str; 14] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--disable-dev-shm-usage",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
];

/// Whether a window has WebGPU (in software) or must use the CPU tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Software WebGPU.
    Gpu,
    /// No WebGPU at all.
    Cpu,
}

impl Tier {
    /// Tokens of a story: enough for a middle, few enough for a software GPU.
    const fn tokens(self) -> u32 {
        match self {
            Self::Gpu => 28,
            Self::Cpu => 240,
        }
    }
}

/// The built app, or None where nobody built it: the tests then say so and pass over.
#[must_use]
pub fn built_app() -> Option<PathBuf> {
    let app = std::env::var_os("MANYHANDS_DIST").map(PathBuf::from);
    if app.is_none() {
        eprintln!("skipped: MANYHANDS_DIST does not name a built app; `cargo xtask test` sets it");
    }
    app
}

/// One chromedriver; every window is a browser of its own.
pub struct Driver {
    child: Child,
    url: String,
}

impl Driver {
    /// Starts chromedriver on a free port.
    pub fn start() -> Result<Self> {
        let port = free_port()?;
        let child = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start chromedriver; `cargo xtask setup` installs it")?;
        Ok(Self { child, url: format!("http://127.0.0.1:{port}") })
    }

    /// Opens a browser of its own, with a fresh profile, on `link`.
    pub async fn open(&self, link: &str, tier: Tier, size: (u32, u32)) -> Result<Window> {
        self.open_with(link, tier, size, None).await
    }

    /// The same with the profile in this folder, for a browser that finds what an earlier one kept.
    pub async fn open_with(
        &self,
        link: &str,
        tier: Tier,
        size: (u32, u32),
        profile: Option<&Path>,
    ) -> Result<Window> {
        let mut wanted = ChromeCapabilities::new();
        if let Some(profile) = profile {
            wanted.add_arg(&format!("--user-data-dir={}", profile.display()))?;
        }
        for flag in FLAGS {
            wanted.add_arg(flag)?;
        }
        wanted.add_arg(&format!("--window-size={},{}", size.0, size.1))?;
        wanted.add_arg(match tier {
            Tier::Gpu => "--enable-unsafe-webgpu",
            Tier::Cpu => "--disable-features=WebGPU,WebGPUService,WebRtcHideLocalIpsWithMdns",
        })?;
        let driver = self.session(wanted).await?;
        let window = Window { driver };
        window.command("Accessibility.enable", json!({})).await?;
        // What the page keeps between visits is set where the origin is open already, before the page reads it.
        let origin = link.split("/#").next().unwrap_or(link);
        window.driver.goto(format!("{origin}/api/health")).await?;
        let settings = json!({ "length": tier.tokens(), "temperature": 0.8, "top_p": 0.95, "seed": "7" });
        let painting =
            json!({ "shape": "Custom", "width": PICTURE, "height": PICTURE, "steps": STEPS, "seed": "7" });
        for (key, value) in [("settings", settings), ("painting", painting)] {
            window.script(&format!("localStorage.setItem('manyhands.{key}', '{value}')")).await?;
        }
        window.driver.goto(link).await?;
        Ok(window)
    }

    /// Asks it to close every browser and to end.
    fn shut_down(&self) -> std::io::Result<()> {
        let address = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "GET /shutdown HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        stream.read_to_end(&mut Vec::new()).map(drop)
    }

    async fn session(&self, wanted: ChromeCapabilities) -> Result<WebDriver> {
        let deadline = Instant::now() + LIMIT;
        loop {
            match WebDriver::new(&self.url, wanted.clone()).await {
                Ok(driver) => return Ok(driver),
                // The driver needs a moment until it listens.
                Err(_) if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(200)).await,
                Err(error) => return Err(error).context("no browser session"),
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It closes the browsers of a test that failed, too; killed, it would leave them behind.
        let _ = self.shut_down();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One browser window.
pub struct Window {
    driver: WebDriver,
}

impl Window {
    /// Closes the window as a person would.
    pub async fn close(self) -> Result<()> {
        Ok(self.driver.quit().await?)
    }

    /// Forgets a browser that was killed: to close it would wait for its answer.
    ///
    /// # Errors
    /// If it was closed before.
    pub fn forget(self) -> Result<()> {
        Ok(self.driver.leak()?)
    }

    /// Opens the same page again; returns when it is there.
    pub async fn reload(&self) -> Result<()> {
        Ok(self.driver.refresh().await?)
    }

    /// Writes a screenshot.
    pub async fn screenshot(&self, file: &Path) -> Result<()> {
        Ok(self.driver.screenshot(file).await?)
    }

    /// What a script returns.
    pub async fn script(&self, script: &str) -> Result<Value> {
        Ok(self.driver.execute(script, Vec::new()).await?.json().clone())
    }

    /// What a script's last argument, a function, is called with: for scripts that wait.
    pub async fn script_async(&self, script: &str, arguments: Vec<Value>) -> Result<Value> {
        Ok(self.driver.execute_async(script, arguments).await?.json().clone())
    }

    /// Waits for a script to return true.
    pub async fn until_script(&self, script: &str) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        while self.script(script).await? != json!(true) {
            if Instant::now() > deadline {
                let page = self.script("return document.body.innerText").await?;
                bail!("{script} did not come true; the page says: {page}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// A command of the DevTools protocol.
    pub async fn command(&self, name: &str, parameters: Value) -> Result<Value> {
        Ok(self.driver.cdp().send_raw(name, parameters).await?)
    }

    /// The text of the element with this role and name, or None if there is none.
    pub async fn text(&self, role: &str, name: &str) -> Result<Option<String>> {
        let Some(object) = self.find(role, name).await? else { return Ok(None) };
        let value = self.call(&object, "function() { return this.innerText }").await?;
        Ok(Some(value.as_str().unwrap_or_default().to_owned()))
    }

    /// Waits for the element's text to satisfy `wanted`, and returns it.
    pub async fn until(&self, role: &str, name: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let text = self.text(role, name).await?;
            if let Some(text) = text.as_ref().filter(|text| wanted(text)) {
                return Ok(text.clone());
            }
            if Instant::now() > deadline {
                let page = self.script("return document.body.innerText").await?;
                bail!("{role} {name:?} did not get there; it is {text:?}; the page: {page}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Presses the button with this name, once it can be pressed.
    pub async fn press(&self, name: &str) -> Result<()> {
        self.until("button", name, |_| true).await?;
        let object = self.find("button", name).await?.context("the button is gone again")?;
        self.call(&object, "function() { this.click() }").await?;
        Ok(())
    }

    /// Chooses the radio button with this name, as a click on it would.
    pub async fn choose(&self, name: &str) -> Result<()> {
        self.until("radio", name, |_| true).await?;
        let object = self.find("radio", name).await?.context("the radio button is gone again")?;
        self.call(&object, "function() { this.click() }").await?;
        Ok(())
    }

    /// Types into the textbox with this name, replacing what is there.
    pub async fn fill(&self, name: &str, text: &str) -> Result<()> {
        self.until("textbox", name, |_| true).await?;
        let object = self.find("textbox", name).await?.context("the textbox is gone again")?;
        self.call(&object, "function() { this.focus(); this.select() }").await?;
        self.command("Input.insertText", json!({ "text": text })).await?;
        Ok(())
    }

    /// Chooses files for the input that this selector finds, as a person's file dialog would.
    pub async fn choose_files(&self, selector: &str, files: &[PathBuf]) -> Result<()> {
        let found = json!({ "expression": format!("document.querySelector({selector:?})") });
        let input = self.command("Runtime.evaluate", found).await?;
        let parameters = json!({ "files": files, "objectId": input["result"]["objectId"] });
        self.command("DOM.setFileInputFiles", parameters).await.map(drop)
    }

    /// Clicks the link that this selector finds and saves what it leads to in `folder`; returns the file.
    pub async fn save(&self, selector: &str, folder: &Path) -> Result<PathBuf> {
        std::fs::create_dir_all(folder)?;
        let allowed = json!({ "behavior": "allow", "downloadPath": folder });
        self.command("Browser.setDownloadBehavior", allowed).await?;
        self.script(&format!("document.querySelector({selector:?}).click()")).await?;
        let deadline = Instant::now() + LIMIT;
        loop {
            let files =
                std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
            // Until it is whole, it has another name.
            let saved = |file: &&PathBuf| file.extension().is_some_and(|kind| kind == "png");
            if let Some(file) = files.iter().find(saved) {
                return Ok(file.clone());
            }
            if Instant::now() > deadline {
                bail!("nothing was saved in {}; there is {files:?}", folder.display());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn call(&self, object: &str, function: &str) -> Result<Value> {
        let parameters =
            json!({ "objectId": object, "functionDeclaration": function, "returnByValue": true });
        let answer = self.command("Runtime.callFunctionOn", parameters).await?;
        if let Some(problem) = answer.get("exceptionDetails") {
            bail!("the page threw {problem}");
        }
        Ok(answer["result"]["value"].clone())
    }

    /// The script object of the first element that the accessibility tree knows by this role and name.
    async fn find(&self, role: &str, name: &str) -> Result<Option<String>> {
        let document = self.command("DOM.getDocument", json!({ "depth": 0 })).await?;
        let root = &document["root"]["nodeId"];
        let query = json!({ "nodeId": root, "role": role, "accessibleName": name });
        let found = self.command("Accessibility.queryAXTree", query).await?;
        let seen =
            found["nodes"].as_array().into_iter().flatten().find(|node| node["ignored"] == json!(false));
        let Some(node) = seen else { return Ok(None) };
        let resolved =
            self.command("DOM.resolveNode", json!({ "backendNodeId": node["backendDOMNodeId"] })).await;
        // The page may have replaced the element in between; the caller asks again.
        Ok(resolved.ok().and_then(|answer| answer["object"]["objectId"].as_str().map(str::to_owned)))
    }
}
