//! Images as the engine needs them: found by what a request says, the embedded one imported when first used, none removed that a
//! container uses.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::helper::run_helper;
use crate::record::Status;
use crate::request::RunRequest;
use carboy_hello::HelloImage;
use carboy_image::{EmbeddedImage, Image, ImageUser, Removed};
use carboy_oci::Reference;
use carboy_oci::image::ContainerConfig;
use carboy_oci::runtime::Spec;
use carboy_state::process::ProcessRef;
use std::ffi::OsString;
use std::time::{Duration, SystemTime};

/// Name of the image that is embedded in the binary.
pub const HELLO: &str = carboy_hello::NAME;

impl Engine {
    /// The image that a name or an ID means; the embedded one is put into the store if that is meant and it is not there.
    ///
    /// # Errors
    /// If the store cannot be read, or the name is not a reference.
    pub fn find_image(&self, name: &str) -> Result<Option<Image>> {
        let images = self.images()?;
        let found = images.find(name)?;
        // A layer may be there in a form that another snapshotter mounts: then the embedded image is simply put in again.
        let complete = |image: &Image| image.layers().iter().all(|id| images.has_layer(id));
        if !is_hello(name) || found.as_ref().is_some_and(complete) {
            return Ok(found);
        }
        if self.user_namespace.is_some() {
            let words: Vec<OsString> = vec![
                self.own_program()?.into(),
                "--root".into(),
                self.folders.root.clone().into(),
                "--runroot".into(),
                self.folders.runroot.clone().into(),
                "internal".into(),
                "import-hello".into(),
            ];
            run_helper(&self.mapped(words)?)?;
            return Ok(self.images()?.find(name)?);
        }
        self.import_hello().map(Some)
    }

    /// Puts the embedded image into the store.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn import_hello(&self) -> Result<Image> {
        let name = Reference::parse(HELLO).map_err(carboy_image::ImageError::from)?;
        let image = embedded()?;
        let layers: Vec<&[u8]> = image.layers.iter().map(|layer| layer.bytes).collect();
        let image = EmbeddedImage {
            manifest: image.manifest_bytes,
            media_type: &image.manifest.media_type,
            config: image.config_bytes,
            layers: &layers,
        };
        Ok(self.images()?.import_embedded(&name, &image)?)
    }

    /// Removes an image, or one of its names, unless a container uses it.
    ///
    /// # Errors
    /// [`Error::Image`] with Docker's conflicts.
    pub fn remove_image(&self, name: &str, force: bool) -> Result<Vec<Removed>> {
        let containers = self.list()?;
        let in_use = |image: &Image| {
            let uses = |c: &&crate::record::Container| c.record.image.as_ref().is_some_and(|used| used.id == image.id);
            let users = || containers.iter().filter(uses);
            let user = users().find(|c| c.status == Status::Running).or_else(|| users().next())?;
            Some(ImageUser { container: user.record.id.clone(), running: user.status == Status::Running })
        };
        let (removed, garbage) = self.images()?.remove_to_trash(name, force, &in_use)?;
        garbage.map_or(Ok(()), |garbage| self.give_back(garbage))?;
        Ok(removed)
    }
}

/// Whether a name means the embedded image.
pub(crate) fn is_hello(name: &str) -> bool {
    let parse = |text: &str| Reference::parse(text).ok();
    parse(name).is_some() && parse(name) == parse(HELLO)
}

/// The embedded image.
pub(crate) fn embedded() -> Result<HelloImage> {
    // Its digests are made at build time; they cannot be wrong, and a panic would say less.
    carboy_hello::image().map_err(|e| Error::Invalid(format!("the embedded image: {e}")))
}

/// What the program of an image that asks for it by its label is told: what it cannot find out from the inside.
pub(crate) fn report_variable(
    config: &ContainerConfig,
    request: &RunRequest,
    spec: &Spec,
    rootless: bool,
) -> Option<String> {
    config.labels.get(carboy_hello::LABEL)?;
    let mut context = carboy_hello::Context::of_this_process(started());
    if let Some(Ok(summary)) =
        spec.linux.as_ref().and_then(|linux| linux.seccomp.as_deref()).map(carboy_seccomp::summary)
    {
        context = context.calls(summary.allowed, summary.conditional, summary.refused);
    }
    let limits = &request.limits;
    if let Some(bytes) = limits.memory {
        context = context.limit("memory", &bytes.to_string());
    }
    if let Some(nano) = limits.nano_cpus {
        context = context.limit("cpus", &format!("{}", nano as f64 / 1e9));
    }
    if let Some(count) = limits.pids {
        context = context.limit("pids", &count.to_string());
    }
    Some(if rootless { context.rootless() } else { context }.environment())
}

/// Clock ticks a second in /proc: 100 on every architecture that we build for (USER_HZ in asm/param.h).
const USER_HZ: u64 = 100;

/// When this process started, to the clock tick (proc_pid_stat(5), field 22).
fn started() -> SystemTime {
    let ticks = ProcessRef::of(std::process::id() as i32).map_or(0, |process| process.start);
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let since_boot = Duration::new(now.tv_sec as u64, now.tv_nsec as u32);
    let at = Duration::from_millis(ticks.saturating_mul(1000 / USER_HZ));
    SystemTime::now() - since_boot.saturating_sub(at)
}

impl Engine {
    /// Whether a name means the image in the binary, which no registry has.
    pub fn is_embedded(&self, name: &str) -> bool {
        is_hello(name)
    }
}
