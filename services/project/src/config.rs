//! The settings of the project service.

use clap::Args;

/// The settings of the project service.
#[derive(Args, Clone, Debug, Default)]
#[group(id = "project_settings")]
pub struct Config {
    /// Allow http:// addresses of controllers that are not on this machine; their credentials then travel in clear text
    #[arg(long, env = "RUNWARDEN_PROJECT_ALLOW_PLAIN_HTTP_CONTROLLERS")]
    pub allow_plain_http_controllers: bool,
}
