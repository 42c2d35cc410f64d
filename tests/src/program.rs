//! Programs of this build, run as processes of their own and ended with the test.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// The workspace's root folder.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

/// The shipped story model.
#[must_use]
pub fn story_model() -> PathBuf {
    root().join("assets/story/story.gguf")
}

/// The shipped painter.
#[must_use]
pub fn painter_model() -> PathBuf {
    root().join("assets/painter")
}

/// The same model in half precision, as a folder of the hub's files: what people bring, and what training goes on from.
#[must_use]
pub fn story_checkpoint() -> PathBuf {
    root().join("tests/data/story")
}

/// A program that `cargo build` put beside the tests.
pub fn built(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.ancestors().nth(2).context("tests lie in target/debug/deps")?;
    let program = folder.join(name);
    if !program.is_file() {
        bail!("{} is missing: `cargo test --workspace` builds it", program.display());
    }
    Ok(program)
}

/// A child process whose lines are read; killed when dropped.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Program {
    /// Starts a program of this build.
    pub fn start(name: &str, arguments: &[&str]) -> Result<Self> {
        let program = built(name)?;
        let mut child = Command::new(&program)
            .args(arguments)
            .current_dir(root())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let output = child.stdout.take().context("stdout is piped")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Ok(Self { child, lines, seen: Vec::new() })
    }

    /// Waits for a line that `wanted` accepts, unless it came already.
    pub fn line(&mut self, limit: Duration, wanted: impl Fn(&str) -> bool) -> Result<String> {
        if let Some(line) = self.seen.iter().find(|line| wanted(line)) {
            return Ok(line.clone());
        }
        loop {
            let line = self.lines.recv_timeout(limit);
            let line = line.with_context(|| format!("the line did not come; so far: {:#?}", self.seen))?;
            self.seen.push(line.clone());
            if wanted(&line) {
                return Ok(line);
            }
        }
    }

    /// Kills it without any warning, as a crash or a pulled plug would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port of the loopback address that was free a moment ago.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The real signaling binary on a free port, serving `app`.
pub struct Server {
    /// Its process.
    pub program: Program,
    /// Its port.
    pub port: u16,
}

impl Server {
    /// Starts it and waits until it answers.
    pub fn start(app: &Path) -> Result<Self> {
        Self::start_on(free_port()?, app)
    }

    /// The same on a given port.
    pub fn start_on(port: u16, app: &Path) -> Result<Self> {
        let bind = format!("127.0.0.1:{port}");
        let program = Program::start("signaling", &["--bind", &bind, "--app", &app.to_string_lossy()])?;
        for _ in 0..200 {
            if std::net::TcpStream::connect(&bind).is_ok() {
                return Ok(Self { program, port });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("the signaling server does not answer on {bind}")
    }

    /// A link to a room of this server; every name is a room of its own.
    #[must_use]
    pub fn link(&self, room: &str) -> String {
        format!("http://127.0.0.1:{}/#room={room}&key=00112233445566778899aabbccddeeff", self.port)
    }
}
