//! What stands in front of several processes of one service: passes connections on to whoever takes them, as a load
//! balancer does. It does not look into them: they stay encrypted from end to end.

use std::net::{SocketAddr, TcpListener};

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A running balancer; it ends when this is dropped, with all it passes on.
pub(crate) struct Balancer(JoinHandle<()>);

impl Balancer {
    /// Listens on one address and passes on to these, in turn.
    pub(crate) fn start(address: SocketAddr, behind: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind(address).expect("a port that was taken can be listened on");
        listener.set_nonblocking(true).expect("a listener can be made not to block");
        Self(tokio::spawn(serve(listener, behind)))
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn serve(listener: TcpListener, behind: Vec<SocketAddr>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime to listen in");
    let mut passing = tokio::task::JoinSet::new();
    for turn in 0.. {
        let Ok((mut client, _)) = listener.accept().await else { continue };
        let mut order = behind.clone();
        order.rotate_left(turn % behind.len().max(1));
        passing.spawn(async move {
            // Whoever finds nobody is told by the end of the connection.
            if let Some(mut server) = first_to_answer(&order).await {
                let _broken = copy_bidirectional(&mut client, &mut server).await;
            }
        });
        while passing.try_join_next().is_some() {}
    }
}

async fn first_to_answer(addresses: &[SocketAddr]) -> Option<TcpStream> {
    for address in addresses {
        if let Ok(stream) = TcpStream::connect(address).await {
            let _slower = stream.set_nodelay(true);
            return Some(stream);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::ports::Port;

    async fn says(listener: tokio::net::TcpListener, word: &'static [u8]) {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(word).await.expect("somebody listens");
        }
    }

    async fn hears(address: SocketAddr) -> Vec<u8> {
        let mut heard = Vec::new();
        let mut stream = TcpStream::connect(address).await.expect("the balancer is there");
        stream.read_to_end(&mut heard).await.expect("it ends in order");
        heard
    }

    #[tokio::test]
    async fn connections_go_to_whoever_is_there() {
        let (front, gone) = (Port::take(), Port::take());
        let listen = async || tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let (one, two) = (listen().await, listen().await);
        let at = |listener: &tokio::net::TcpListener| listener.local_addr().expect("an address");
        let behind = vec![at(&one), gone.address(), at(&two)];
        let first = tokio::spawn(says(one, b"one"));
        tokio::spawn(says(two, b"two"));
        let _balancer = Balancer::start(front.address(), behind);
        let mut heard = Vec::new();
        for _ in 0..3 {
            heard.push(hears(front.address()).await);
        }
        assert_eq!(heard, [b"one", b"two", b"two"], "in turn, past the one who is not there");
        first.abort();
        let _ended = first.await;
        assert_eq!(hears(front.address()).await, b"two");
    }
}
