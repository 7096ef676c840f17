//! The old design: gunicorn with its own best settings.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use runwarden_harness::ports::Port;
use runwarden_harness::until_within;

use super::postgres::Postgres;
use crate::load;
use crate::usage::Usage;

/// What its tokens are signed with. Nobody but this benchmark talks to it.
const KEY: &str = "a key of thirty-two bytes or more, for a benchmark";
/// Prints a token that is good for an hour.
const MINT: &str = "import jwt, sys, time; print(jwt.encode({'sub': 'ci', 'tenant': 'acme', 'roles': ['launcher'], \
                    'aud': 'old-design', 'exp': time.time() + 3600}, sys.argv[1], algorithm='HS256'))";

/// A running gunicorn.
pub(super) struct OldDesign {
    process: Child,
    port: Port,
    packages: PathBuf,
}

/// Where its packages are.
pub(super) fn find() -> Option<PathBuf> {
    let folder = load::backends().join("python/old-design");
    folder.join(".complete").is_file().then_some(folder)
}

impl OldDesign {
    /// Starts it on this database.
    pub(super) async fn start(packages: &Path, postgres: &Postgres) -> Self {
        let port = Port::take();
        let address = port.address();
        let code = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/benchmark/compare/old_design");
        let process = Command::new(packages.join("bin/gunicorn"))
            .args(["--config", "gunicorn.conf.py", "--bind", &address.to_string(), "app:app"])
            .current_dir(code)
            .env("OLD_DESIGN_KEY", KEY)
            .env("OLD_DESIGN_DATABASE", postgres.connection())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .spawn()
            .expect("gunicorn starts");
        let answers = async || TcpStream::connect(address).ok();
        let _stream = until_within(Duration::from_secs(30), "gunicorn to listen", answers).await;
        Self { process, port, packages: packages.to_owned() }
    }

    /// Where it is.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// A caller's token.
    pub(super) fn token(&self) -> String {
        let minted = Command::new(self.packages.join("bin/python")).args(["-c", MINT, KEY]).output();
        String::from_utf8_lossy(&minted.expect("Python runs").stdout).trim().to_owned()
    }

    /// What it has used, without the database.
    pub(super) fn usage(&self) -> Usage {
        Usage::of(self.process.id())
    }
}

impl Drop for OldDesign {
    fn drop(&mut self) {
        // Its workers notice that their parent is gone, and end.
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}
