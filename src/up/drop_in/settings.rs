//! What the environment means for the settings of `up`. What was set as a setting of Runwarden wins.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Context as _;
use runwarden_hook::{Exceptions, KeyForm, TerraformOf};

use super::environment::Environment;
use super::{HOOK, TENANT};
use crate::cli::Up;

/// Where the replaced program listened.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 5000);

impl Environment {
    /// Whether the key can be guessed.
    pub(super) fn has_weak_key(&self) -> bool {
        KeyForm::is_weak(&self.key)
    }

    /// Sets what was not set otherwise; `given` names what was, by the names of arguments.
    ///
    /// # Errors
    /// When the listener has no certificate, and what to do about it.
    pub(crate) fn apply(&self, settings: &mut Up, given: &HashSet<String>) -> anyhow::Result<()> {
        let is_free = |name: &str| !given.contains(name);
        if is_free("listen") {
            settings.edge.listen = LISTEN;
        }
        if is_free("edge_tls_cert") && is_free("plain_behind_proxy") {
            if self.insecure {
                settings.edge.plain_behind_proxy = true;
            } else {
                readable("CERT_FILE", &self.certificate)?;
                readable("KEY_FILE", &self.certificate_key)?;
                settings.edge.edge_tls_cert = Some(self.certificate.clone());
                settings.edge.edge_tls_key = Some(self.certificate_key.clone());
            }
        }
        // For the hook of this environment only: what other tenants' run tasks may take is not its business.
        let hook = &settings.hook;
        let wait = if is_free("run_task_wait") { self.wait } else { hook.run_task_wait };
        let poll = if is_free("run_task_poll") { self.poll } else { hook.run_task_poll };
        let link = if is_free("run_task_link") { Some(self.help.clone()) } else { hook.run_task_link.clone() };
        let allow = match &self.terraform {
            Some(terraform) => terraform.place.parse().context("TFE_HOST cannot be used")?,
            None => Exceptions::private_networks(),
        };
        settings.hook.own_terraform = Some(TerraformOf {
            tenant: TENANT.to_owned(),
            hook: HOOK.to_owned(),
            allow,
            ca_pem: self.authorities.clone(),
            insecure: self.insecure,
            wait,
            poll,
            link,
        });
        if self.insecure {
            settings.executor.unverified_controllers.push(self.aap.clone());
        }
        if !self.authorities.is_empty() {
            settings.executor.trusted_controllers.push((self.aap.clone(), self.authorities.clone()));
        }
        Ok(())
    }

    /// What a person should know before anything is sent.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut told = Vec::new();
        if self.insecure {
            told.push(
                "warning: INSECURE=true: this listener is not encrypted, and the certificates of AAP and Terraform are not \
                 verified. Whoever is in between can read the password of AAP_AUTH and forge results. Set COMBINED_FILE, \
                 CERT_FILE and KEY_FILE, and remove INSECURE"
                    .to_owned(),
            );
        }
        if let Some(problem) = &self.unread {
            told.push(format!("warning: {problem}. With INSECURE=true it is not used"));
        }
        if self.has_weak_key() {
            let who = if KeyForm::is_guessable(&self.key) {
                "anybody who reaches this listener can find it by trying"
            } else {
                "whoever sees one signed request can find it by trying"
            };
            told.push(format!(
                "warning: HMAC_KEY is weak: {who}, and launch jobs. Set one of 16 characters or more here and in Terraform, \
                 such as the output of `openssl rand -hex 32`"
            ));
        }
        if self.terraform.is_none() {
            told.push(
                "note: TFE_HOST is not set, so results go to whatever https host a signed request names, in a private \
                 network too. Naming it is safer: TFE_HOST=tfe.example"
                    .to_owned(),
            );
        }
        if self.wait_is_cut {
            told.push(
                "note: JOB_WAIT_SECONDS is more than 57 minutes, which are used: Terraform waits for an hour"
                    .to_owned(),
            );
        }
        told
    }
}

fn readable(name: &str, path: &Path) -> anyhow::Result<()> {
    std::fs::read(path).map(drop).with_context(|| {
        format!(
            "{name} {} cannot be read: set CERT_FILE and KEY_FILE to the listener's certificate and key, PEM, or \
             INSECURE=true to serve without encryption behind a proxy that terminates TLS",
            path.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::environment::tests::with;
    use super::*;
    use crate::cli::{Arguments, Command};

    fn up(line: &[&str]) -> Up {
        let line = ["runwarden", "up"].iter().chain(line);
        let Ok(Arguments { command: Command::Up(up) }) = Arguments::try_parse_from(line) else { panic!("not up") };
        *up
    }

    #[test]
    fn it_listens_where_the_replaced_program_did_unless_something_else_is_set() {
        let environment = with(&[("INSECURE", "true"), ("JOB_WAIT_SECONDS", "90")]).unwrap().unwrap();
        let mut settings = up(&[]);
        environment.apply(&mut settings, &HashSet::new()).unwrap();
        assert_eq!((settings.edge.listen, settings.edge.plain_behind_proxy), (LISTEN, true));
        assert!(settings.edge.admin_listen.ip().is_loopback(), "administration stays inside");
        assert_eq!(settings.executor.unverified_controllers, ["https://aap.example"]);
        assert_eq!(settings.executor.trusted_controllers, []);
        let own = settings.hook.own_terraform.unwrap();
        assert_eq!((own.wait.as_secs(), own.poll.as_secs(), own.link.is_some()), (90, 5, true));
        assert!(own.insecure && own.allow == Exceptions::private_networks());

        let mut settings = up(&["--listen", "127.0.0.1:9000", "--run-task-wait", "5m"]);
        let given = ["listen", "run_task_wait"].map(str::to_owned).into();
        environment.apply(&mut settings, &given).unwrap();
        let own = settings.hook.own_terraform.unwrap();
        assert_eq!((settings.edge.listen.port(), own.wait.as_secs(), own.poll.as_secs()), (9000, 300, 5));
    }

    #[test]
    fn how_long_other_hooks_wait_is_left_alone() {
        let environment = with(&[("INSECURE", "true"), ("JOB_POLLING_INTERVAL", "9")]).unwrap().unwrap();
        let mut settings = up(&[]);
        environment.apply(&mut settings, &HashSet::new()).unwrap();
        let (hook, usual) = (settings.hook, runwarden_hook::Config::default());
        assert_eq!(
            (hook.run_task_wait, hook.run_task_poll, hook.run_task_link),
            (usual.run_task_wait, usual.run_task_poll, None)
        );
    }

    #[test]
    fn without_a_certificate_it_says_what_to_do() {
        let environment = with(&[("CERT_FILE", "/nowhere/tls.crt")]).unwrap().unwrap();
        let error = format!("{:#}", environment.apply(&mut up(&[]), &HashSet::new()).unwrap_err());
        assert!(error.contains("CERT_FILE /nowhere/tls.crt") && error.contains("INSECURE=true"), "{error}");
    }

    #[test]
    fn a_named_terraform_is_the_only_private_host_that_is_reached() {
        let environment = with(&[("INSECURE", "true"), ("TFE_HOST", "tfe.internal:8443")]).unwrap().unwrap();
        let mut settings = up(&[]);
        environment.apply(&mut settings, &HashSet::new()).unwrap();
        assert_eq!(settings.hook.own_terraform.unwrap().allow, "tfe.internal:8443".parse().unwrap());
        assert!(settings.hook.outbound_allow == Exceptions::default(), "of this hook only");
    }

    #[test]
    fn what_is_dangerous_is_said_at_the_start() {
        let told = |more: &[(&str, &str)]| with(more).unwrap().unwrap().warnings().join("\n");
        let all = told(&[("INSECURE", "true"), ("JOB_WAIT_SECONDS", "9999")]);
        for part in ["INSECURE=true", "HMAC_KEY is weak", "TFE_HOST is not set", "JOB_WAIT_SECONDS"] {
            assert!(all.contains(part), "{part}");
        }
        assert!(told(&[("HMAC_KEY", "secret")]).contains("anybody who reaches"));
        assert!(told(&[("HMAC_KEY", "secrets of mine")]).contains("whoever sees one signed request"));
        let key = "0123456789abcdef0123456789abcdef";
        assert_eq!(told(&[("HMAC_KEY", key), ("TFE_HOST", "tfe.example")]), "");
    }
}
