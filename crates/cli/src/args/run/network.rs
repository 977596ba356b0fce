//! What a container sees of the network.

use crate::failure::{Failure, usage};
use carboy_engine::Network;
use clap::Args;

/// What a container sees of the network.
#[derive(Debug, Clone, Args)]
pub(crate) struct NetworkArgs {
    /// none (a loopback interface only) or host [default: none]
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    network: Option<String>,
    /// Host name
    #[arg(short = 'h', long, value_name = "NAME")]
    pub(super) hostname: Option<String>,
    /// NIS domain name
    #[arg(long, value_name = "NAME")]
    pub(super) domainname: Option<String>,
    /// Add a line to /etc/hosts
    #[arg(long, value_name = "NAME:ADDRESS")]
    add_host: Vec<String>,
    /// Name server instead of the host's
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<String>,
}

impl NetworkArgs {
    pub(super) fn mode(&self) -> Result<Network, Failure> {
        match self.network.as_deref() {
            None | Some("none") => Ok(Network::None),
            Some("host") => Ok(Network::Host),
            Some(other) => Err(usage(format!("network {other:?} is not supported: none or host"))),
        }
    }

    pub(super) fn add_hosts(&self) -> Result<Vec<(String, String)>, Failure> {
        self.add_host.iter().map(|h| add_host(h)).collect()
    }

    pub(super) fn name_servers(&self) -> Result<Vec<String>, Failure> {
        self.dns.iter().map(|d| name_server(d)).collect()
    }
}

fn add_host(text: &str) -> Result<(String, String), Failure> {
    let bad = || usage(format!("bad format for add-host: {text:?} (NAME:ADDRESS)"));
    let (name, address) = text.split_once(':').filter(|(name, _)| !name.is_empty()).ok_or_else(bad)?;
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<std::net::IpAddr>().map_err(|_| usage(format!("invalid IP address in add-host: {address:?}")))?;
    Ok((name.to_owned(), bare.to_owned()))
}

fn name_server(text: &str) -> Result<String, Failure> {
    text.parse::<std::net::IpAddr>().map_err(|_| usage(format!("{text} is not an ip address")))?;
    Ok(text.to_owned())
}
