//! Making a container: everything on record before it is taken, and taken back if a step fails.

use crate::draft::Draft;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::id;
use crate::plan::Trace;
use crate::record::{ImageUse, LOCK, Record};
use crate::request::RunRequest;
use carboy_image::Image;
use carboy_oci::image::ContainerConfig;
use carboy_state::lock::{Lock, LockMode};
use carboy_wire::monitor::RootMount;
use std::io;
use std::path::PathBuf;

/// A container that was just made, still locked.
pub(crate) struct Made {
    pub(crate) record: Record,
    pub(crate) root_mount: RootMount,
    pub(crate) lock: Lock,
}

impl Engine {
    /// Makes a container without starting it, and returns its ID. The image must be in the store; it is looked for if it was not `found`.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`], [`Error::NameInUse`], [`Error::Invalid`] and others; nothing is left behind.
    pub fn create(&self, request: &RunRequest, found: Option<Image>) -> Result<String> {
        let made = self.make(request, found, None, &mut Trace::new(false))?;
        Ok(made.record.id)
    }

    /// Refuses a request for everything that can be told before its image is there.
    ///
    /// # Errors
    /// [`Error::Invalid`] and others, as [`Engine::create`]; nothing has been made.
    pub fn check(&self, request: &RunRequest) -> Result<()> {
        let draft = Draft::new(request)?;
        if let Some(id) = self.name_holder(&draft.name) {
            return Err(Error::NameInUse { name: draft.name, id });
        }
        if request.image.is_none() {
            self.rootfs_folder(request)?;
        }
        draft.check(self, request)
    }

    pub(crate) fn make(
        &self,
        request: &RunRequest,
        found: Option<Image>,
        terminal_size: Option<(u16, u16)>,
        trace: &mut Trace,
    ) -> Result<Made> {
        let image = self.image_of(request, found)?;
        let mut draft = Draft { terminal_size, ..Draft::new(request)? };
        let folder = self.folders.container(&draft.id);
        trace.step(&draft.folder_step(self))?;
        let result = Lock::wait(&folder.join(LOCK), LockMode::Exclusive)
            .map_err(Error::from)
            .and_then(|lock| self.fill(request, image.as_ref(), &mut draft, lock, trace));
        if result.is_err() {
            // The error is the one to report; what cannot be removed now goes with the next listing.
            let _ = self.discard(&draft.id, &draft.name);
        }
        result
    }

    fn fill(
        &self,
        request: &RunRequest,
        image: Option<&Image>,
        draft: &mut Draft,
        lock: Lock,
        trace: &mut Trace,
    ) -> Result<Made> {
        self.claim(request, draft, trace)?;
        let root_mount = self.root_mount(request, image, &draft.id, trace)?;
        let lower = match &root_mount {
            RootMount::Overlay { lower, .. } => lower.clone(),
            RootMount::Bind { path } => vec![path.clone()],
        };
        let used = image.map(|image| (use_of(request, image), container_config(image)));
        let design = draft.design(self, request, used.as_ref().map(|(used, config)| (used, *config)), &lower)?;
        trace.steps(&design.steps)?;
        self.copy_up(request, &root_mount, &design.record)?;
        Ok(Made { record: design.record, root_mount, lock })
    }

    /// Claims the name; a made-up one that is taken is replaced by another.
    fn claim(&self, request: &RunRequest, draft: &mut Draft, trace: &mut Trace) -> Result<()> {
        loop {
            match trace.step(&draft.claim_step(self, request)) {
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {}
                result => return result,
            }
            if request.name.is_none() {
                draft.name = id::new_name()?;
            } else if let Some(id) = self.name_holder(&draft.name) {
                return Err(Error::NameInUse { name: draft.name.clone(), id });
            } else if !self.release_stale_name(&draft.name)? {
                let id = "(being created)".to_owned();
                return Err(Error::NameInUse { name: draft.name.clone(), id });
            }
        }
    }

    /// Makes the root file system ready: layers mounted, `upper/` and `work/` made.
    pub(crate) fn root_mount(
        &self,
        request: &RunRequest,
        image: Option<&Image>,
        id: &str,
        trace: &mut Trace,
    ) -> Result<RootMount> {
        let Some(image) = image else { return self.rootfs_folder(request) };
        let dir = self.folders.container(id);
        if !trace.is_wanted() {
            return Ok(self.images()?.prepare(image, &dir)?);
        }
        let (mount, reports) = self.images()?.prepare_traced(image, &dir)?;
        trace.group(reports, 0);
        Ok(mount)
    }

    pub(crate) fn rootfs_folder(&self, request: &RunRequest) -> Result<RootMount> {
        let Some(path) = &request.rootfs else {
            return Err(Error::Invalid("an image or a root file system is needed".into()));
        };
        let path = std::fs::canonicalize(path).map_err(Error::at("use root file system", path))?;
        if !path.is_dir() {
            let not_a_folder = io::Error::from(io::ErrorKind::NotADirectory);
            return Err(Error::at("use root file system", &path)(not_a_folder));
        }
        Ok(RootMount::Bind { path })
    }

    /// The image of a request, which must be in the store; `None` with `--rootfs`.
    pub(crate) fn image_of(&self, request: &RunRequest, found: Option<Image>) -> Result<Option<Image>> {
        let Some(name) = &request.image else { return Ok(None) };
        let image = match found {
            Some(image) => image,
            None => self.find_image(name)?.ok_or_else(|| Error::NoSuchImage(name.clone()))?,
        };
        check_platform(request, &image)?;
        Ok(Some(image))
    }

    /// Removes what an unfinished creation left.
    pub(crate) fn discard(&self, id: &str, name: &str) -> Result<()> {
        let link = self.folders.name(name);
        if std::fs::read_link(&link).is_ok_and(|target| target.ends_with(id)) {
            std::fs::remove_file(&link).map_err(Error::at("remove", &link))?;
        }
        self.remove_tree(&self.folders.container(id))
    }

    /// Gives up a name whose container does not exist. False if it is just being made.
    fn release_stale_name(&self, name: &str) -> Result<bool> {
        let link = self.folders.name(name);
        let Ok(target) = std::fs::read_link(&link) else { return Ok(true) };
        let id = target.file_name().map(PathBuf::from).unwrap_or_default();
        let id = id.to_string_lossy();
        let folder = self.folders.container(&id);
        if folder.is_dir() {
            let Some(_lock) = Lock::attempt(&folder.join(LOCK), LockMode::Exclusive)? else { return Ok(false) };
            if folder.join(crate::record::RECORD).exists() {
                return Ok(true);
            }
            self.discard(&id, name)?;
            return Ok(true);
        }
        match std::fs::remove_file(&link) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::at("remove", &link)(e)),
            _ => Ok(true),
        }
    }

    /// Removes the folder of a creation that was cut short, and the name that it had claimed, unless it is just being made.
    pub(crate) fn discard_unrecorded(&self, id: &str) {
        let folder = self.folders.container(id);
        // Between mkdir and the lock a creation holds nothing: what is young is left alone.
        let age = std::fs::metadata(&folder).and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
        if age.is_none_or(|age| age.as_secs() < 5) {
            return;
        }
        if let Ok(Some(_lock)) = Lock::attempt(&folder.join(LOCK), LockMode::Exclusive)
            && !folder.join(crate::record::RECORD).exists()
        {
            for link in std::fs::read_dir(self.folders.names()).into_iter().flatten().flatten() {
                if std::fs::read_link(link.path()).is_ok_and(|target| target.ends_with(id)) {
                    let _ = std::fs::remove_file(link.path());
                }
            }
            let _ = self.remove_tree(&folder);
        }
    }
}

pub(crate) fn container_config(image: &Image) -> &ContainerConfig {
    &image.config.config
}

pub(crate) fn use_of(request: &RunRequest, image: &Image) -> ImageUse {
    ImageUse {
        name: request.image.clone().unwrap_or_default(),
        id: image.id.clone(),
        manifest: Some(image.manifest.digest.clone()),
    }
}

/// An image of another architecture would only fail at exec with a message that helps nobody.
fn check_platform(request: &RunRequest, image: &Image) -> Result<()> {
    let Some(wanted) = &request.platform else { return Ok(()) };
    let mut parts = wanted.split('/');
    let (os, arch) = (parts.next().unwrap_or_default(), parts.next());
    let same_arch = arch.is_none_or(|arch| arch == image.config.architecture);
    if os == image.config.os && same_arch {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "image with reference {} was found but does not match the specified platform: wanted {wanted}, actual: {}/{}",
        request.image.as_deref().unwrap_or_default(),
        image.config.os,
        image.config.architecture
    )))
}
