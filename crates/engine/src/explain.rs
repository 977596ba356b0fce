//! `explain`: what `run` would do, from the very data that `run` executes, without doing it and without privilege.
//!
//! The monitor and the runtime are asked for their own lists, computed from the configuration they would get.

use crate::create::{container_config, use_of};
use crate::draft::{Design, Draft, json};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::images::{embedded, is_hello};
use crate::record::ImageUse;
use crate::request::RunRequest;
use crate::start::StartOptions;
use carboy_image::Image;
use carboy_oci::image::ImageConfig;
use carboy_wire::monitor::RootMount;
use carboy_wire::plan::{Actor, PlanReport, StepReport};
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

impl Engine {
    /// The steps of `run` with this request, in order.
    ///
    /// # Errors
    /// As `create` would fail; an image that is not in the store is not pulled.
    pub fn explain(&self, request: &RunRequest, options: StartOptions) -> Result<PlanReport> {
        let draft = Draft { terminal_size: options.terminal_size, ..Draft::new(request)? };
        let container_dir = self.folders.container(&draft.id);
        let mut steps = Vec::new();
        let stored = self.stored_image(request)?;
        let embedded = match (&stored, &request.image) {
            (None, Some(name)) if is_hello(name) => Some(embedded_config()?),
            _ => None,
        };
        if let (None, None, Some(name)) = (&stored, &embedded, &request.image) {
            return Err(Error::NoSuchImage(format!("{name} (explain does not pull)")));
        }
        if embedded.is_some() {
            steps.push(import_report());
        }
        steps.push(draft.folder_step(self).report());
        steps.push(draft.claim_step(self, request).report());
        let root_mount = match (&stored, &embedded) {
            (Some(image), _) => {
                let (mount, reports) = self.images()?.explain_prepare(image, &container_dir)?;
                steps.extend(reports);
                mount
            }
            (None, Some(config)) => self.embedded_mount(config, &container_dir),
            (None, None) => self.rootfs_folder(request)?,
        };
        // Layers that are not mounted now cannot be looked into; a named user is then an error, as nothing may be mounted for it.
        let lower = match &root_mount {
            RootMount::Overlay { lower, .. } if lower.iter().all(|path| path.is_dir()) => lower.clone(),
            RootMount::Overlay { .. } => Vec::new(),
            RootMount::Bind { path } => vec![path.clone()],
        };
        let used = stored.as_ref().map(|image| (use_of(request, image), container_config(image).clone()));
        let used = match (used, embedded) {
            (None, Some(config)) => Some((embedded_use(request)?, config.config)),
            (used, _) => used,
        };
        let design = draft.design(self, request, used.as_ref().map(|(used, config)| (used, config)), &lower)?;
        steps.extend(design.steps.iter().map(|step| step.report()));
        steps.extend(self.explain_start(&design, root_mount, options)?);
        Ok(PlanReport { steps })
    }

    fn explain_start(&self, design: &Design, mount: RootMount, options: StartOptions) -> Result<Vec<StepReport>> {
        let config = self.monitor_config(&design.record, mount, options)?;
        let launch = self.launch_steps(&config, options.attach)?;
        let mut steps: Vec<StepReport> = launch.iter().map(|step| step.report()).collect();
        let words =
            vec![self.monitor()?.into(), "explain".into(), "--config".into(), "/dev/stdin".into(), "--json".into()];
        let monitor = ask(words, &json("monitor.json", &config)?)?;
        // The runtime does its part while the monitor waits for it.
        let waits = monitor.steps.iter().position(|step| step.name == "start runtime");
        let place = waits.map_or(monitor.steps.len(), |n| n + 1);
        let runtime = &design.record.runtime;
        let inner = if runtime.ours {
            let words =
                vec![runtime.path.clone().into(), "explain".into(), "--config".into(), "-".into(), "--json".into()];
            ask(words, &json("config.json", &design.spec)?)?.steps
        } else {
            vec![foreign_report(&runtime.path)]
        };
        let (before, after) = monitor.steps.split_at(place);
        steps.extend_from_slice(before);
        steps.extend(inner);
        steps.extend_from_slice(after);
        Ok(steps)
    }

    /// The image, if there is a store and it has it. Nothing is made.
    fn stored_image(&self, request: &RunRequest) -> Result<Option<Image>> {
        let Some(name) = &request.image else { return Ok(None) };
        if !self.folders.root.join("version").exists() {
            return Ok(None);
        }
        Ok(self.images()?.find(name)?)
    }

    fn embedded_mount(&self, config: &ImageConfig, container_dir: &Path) -> RootMount {
        let layers = self.folders.runroot.join("layers");
        RootMount::Overlay {
            lower: config.rootfs.diff_ids.iter().rev().map(|id| layers.join(id.hex())).collect(),
            upper: container_dir.join("upper"),
            work: container_dir.join("work"),
            userxattr: self.is_rootless(),
        }
    }
}

fn embedded_config() -> Result<ImageConfig> {
    serde_json::from_slice(embedded()?.config_bytes)
        .map_err(|source| Error::Json { what: "the embedded image's configuration", source })
}

fn embedded_use(request: &RunRequest) -> Result<ImageUse> {
    let image = embedded()?;
    let name = request.image.clone().unwrap_or_default();
    Ok(ImageUse { name, id: image.config.digest, manifest: Some(image.manifest.digest) })
}

fn import_report() -> StepReport {
    StepReport {
        actor: Actor::Engine,
        name: "import the embedded image".into(),
        calls: vec!["write blobs, layer, index and name into the store".into()],
        why: "on first use the image in the binary becomes an image like any other".into(),
        from: "IMAGE".into(),
        took_ns: None,
        error: None,
    }
}

fn foreign_report(path: &Path) -> StepReport {
    StepReport {
        actor: Actor::Runtime,
        name: format!("what {} does", path.display()),
        calls: Vec::new(),
        why: "another runtime does not say what it will do".into(),
        from: "--runtime".into(),
        took_ns: None,
        error: None,
    }
}

/// Runs a program that reads a configuration and prints its steps.
fn ask(words: Vec<OsString>, input: &[u8]) -> Result<PlanReport> {
    let Some((program, args)) = words.split_first() else { return Ok(PlanReport::default()) };
    let path = Path::new(program);
    let start =
        Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = start.map_err(Error::at("start", path))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read to the end says why on standard error.
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output().map_err(Error::at("read the answer of", path))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let message = said.lines().last().unwrap_or("it ended without a word").trim().to_owned();
        return Err(Error::Helper { program: path.display().to_string(), message });
    }
    serde_json::from_slice(&output.stdout).map_err(|source| Error::Json { what: "an explained plan", source })
}
