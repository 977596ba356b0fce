//! What a container sees of files.

use crate::failure::Failure;
use carboy_engine::{TmpfsRequest, VolumeRequest};
use clap::Args;
use std::path::PathBuf;

/// What a container sees of files.
#[derive(Debug, Clone, Args)]
pub(crate) struct FileArgs {
    /// Bind a folder or a volume
    #[arg(short, long, value_name = "[SOURCE:]DIR[:OPTIONS]")]
    volume: Vec<String>,
    /// Mount a tmpfs
    #[arg(long, value_name = "DIR[:OPTIONS]")]
    tmpfs: Vec<String>,
    /// Mount the root file system read-only
    #[arg(long)]
    pub(super) read_only: bool,
    /// Use a folder as the root file system, and no image
    #[arg(long, value_name = "DIR")]
    pub(super) rootfs: Option<PathBuf>,
}

impl FileArgs {
    pub(super) fn volumes(&self) -> Result<Vec<VolumeRequest>, Failure> {
        Ok(self.volume.iter().map(|v| VolumeRequest::parse(v)).collect::<Result<_, _>>()?)
    }

    pub(super) fn tmpfs(&self) -> Result<Vec<TmpfsRequest>, Failure> {
        Ok(self.tmpfs.iter().map(|t| TmpfsRequest::parse(t)).collect::<Result<_, _>>()?)
    }
}
