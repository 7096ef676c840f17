//! Against real sockets, with a name server that answers what a test wants.

mod limits;
mod proxy;
mod reach;
mod server;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use http::Method;

use crate::{Answer, Client, Failure, Request, Resolver, Settings};
use server::{Authority, Server};

/// A name server: each name has answers, of which the last one stays.
#[derive(Default)]
struct Names {
    answers: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    asked: Mutex<Vec<String>>,
}

impl Names {
    fn answer(self, name: &str, answers: &[&[&str]]) -> Self {
        let parse = |answer: &&[&str]| answer.iter().map(|ip| ip.parse().unwrap()).collect();
        self.answers.lock().unwrap().insert(name.to_owned(), answers.iter().rev().map(parse).collect());
        self
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(host.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let answers = answers.get_mut(host).ok_or(io::ErrorKind::NotFound)?;
        if answers.len() > 1 { answers.pop() } else { answers.first().cloned() }.ok_or(io::ErrorKind::NotFound.into())
    }
}

fn client(names: &Arc<Names>, settings: Settings) -> Client {
    Client::new(settings, names.clone()).unwrap()
}

fn allowing(exceptions: &str) -> Settings {
    Settings { exceptions: exceptions.parse().unwrap(), connect: Duration::from_secs(2), ..Settings::default() }
}

async fn get(client: &Client, address: &str) -> Result<Answer, Failure> {
    let address = client.address(address)?;
    client.send(Request::new(Method::GET, address)).await
}
