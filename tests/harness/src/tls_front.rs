//! What terminates TLS in front of a server without it, with a certificate that no system trusts.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::certificate::SelfSigned;

/// A running front; it ends when this is dropped, with all it passes on.
pub struct TlsFront {
    address: SocketAddr,
    pem: String,
    _serving: JoinSet<()>,
}

impl TlsFront {
    /// Listens on a loopback port and passes on to this server.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn start(behind: SocketAddr) -> Self {
        let SelfSigned { pem, tls, .. } = SelfSigned::make();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let address = listener.local_addr().expect("its address");
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, tls, behind));
        Self { address, pem, _serving: serving }
    }

    /// Its host, with the port.
    #[must_use]
    pub fn host(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// Who signed its certificate, PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.pem
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, behind: SocketAddr) {
    let mut passing = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let tls = tls.clone();
        passing.spawn(async move {
            // Whoever does not trust it hangs up.
            let Ok(mut client) = tls.accept(client).await else { return };
            if let Ok(mut server) = TcpStream::connect(behind).await {
                let _broken = copy_bidirectional(&mut client, &mut server).await;
            }
        });
        while passing.try_join_next().is_some() {}
    }
}
