//! Giving disk space back without anybody waiting for it: by a process that outlives the command.

use crate::engine::Engine;
use crate::error::Result;
use crate::start::spawn_program;
use carboy_image::Garbage;
use rustix::process::WaitOptions;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

impl Engine {
    /// Has the garbage of a collection removed: at once if that takes no time, otherwise by `carboy internal empty-trash`, which this
    /// starts and does not wait for. If that process is killed, whoever opens the store next does the rest.
    pub(crate) fn give_back(&self, garbage: Garbage) -> Result<()> {
        let store = self.images()?.store();
        let program = match self.own_program() {
            Ok(program) if program.exists() && !store.trash_is_small() => program,
            _ => {
                garbage.empty(store)?;
                return Ok(());
            }
        };
        let null = Path::new("/dev/null");
        let null = File::options().read(true).write(true).open(null).map_err(crate::Error::at("open", null))?;
        let (held, locked) = garbage.into_descriptors();
        let mut fds = vec![(null.as_fd(), 0), (null.as_fd(), 1), (null.as_fd(), 2)];
        fds.extend((3..).zip(&held).map(|(number, fd)| (fd.as_fd(), number)));
        let mut args = vec!["--root".to_owned(), self.folders.root.display().to_string()];
        args.extend(["--runroot".to_owned(), self.folders.runroot.display().to_string()]);
        args.extend(["internal", "empty-trash"].map(str::to_owned));
        args.extend(locked.then(|| "--locked".to_owned()));
        let pid = spawn_program(&program, &args, &fds)?;
        // A command ends before this thread does; a server must not gather zombies.
        let reap = move || {
            while let Err(rustix::io::Errno::INTR) = rustix::process::waitpid(Some(pid), WaitOptions::empty()) {}
        };
        let _ = std::thread::Builder::new().name("reap".to_owned()).spawn(reap);
        Ok(())
    }

    /// Empties the trash; `locked`: whether this process was given its lock.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn empty_trash(&self, locked: bool) -> Result<u64> {
        let store = self.images()?.store();
        let emptied = if locked { store.empty_locked_trash() } else { store.empty_trash() };
        Ok(emptied.map_err(carboy_image::ImageError::from)?)
    }
}
