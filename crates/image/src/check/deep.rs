//! Reading everything: blobs against their digests, layers against their diff IDs, and indexes against the tars that they are of.

use super::Problem;
use crate::erofs::index_tar;
use crate::layer::LayerRecord;
use crate::{ImageError, Images, LayerError};
use carboy_oci::Digest;
use carboy_state::file::FileError;
use carboy_store::{Hasher, StoreError};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

impl Images {
    pub(super) fn check_content(&self) -> Result<Vec<Problem>, ImageError> {
        let mut problems = Vec::new();
        for digest in self.store.blobs()? {
            match self.store.is_intact(&digest) {
                Ok(true) | Err(StoreError::Missing(_)) => {}
                // What the disk cannot read any more is as damaged.
                Ok(false) | Err(_) => problems.push(Problem::DamagedBlob { digest }),
            }
        }
        for name in self.store.layer_names()? {
            let Ok(diff_id) = format!("sha256:{name}").parse::<Digest>() else { continue };
            if let Some(why) = self.damage_of(&diff_id)? {
                problems.push(Problem::DamagedLayer { diff_id, why });
            }
        }
        Ok(problems)
    }

    /// What is wrong with a layer. Of one that is kept as directories only the record can be looked at.
    fn damage_of(&self, diff_id: &Digest) -> Result<Option<String>, ImageError> {
        let folder = self.store.layer_dir(diff_id);
        let Ok(Some(record)) = LayerRecord::read(&folder) else {
            return Ok(folder.exists().then(|| "its record cannot be read".to_owned()));
        };
        let Some(tar_path) = self.snapshotter.tar_in(&folder).filter(|_| self.has_layer(diff_id)) else {
            return Ok(None);
        };
        let compared = self.compare(&record, &tar_path, &folder);
        Ok(match compared {
            Ok(why) => why.map(str::to_owned),
            Err(LayerError::File(e)) if e.is_not_found() => Some(format!("{} is missing", e.path.display())),
            Err(e) => Some(e.to_string()),
        })
    }

    fn compare(
        &self,
        record: &LayerRecord,
        tar_path: &Path,
        folder: &Path,
    ) -> Result<Option<&'static str>, LayerError> {
        let tar = File::open(tar_path).map_err(FileError::at("open", tar_path))?;
        let input =
            BufReader::with_capacity(256 << 10, tar.try_clone().map_err(LayerError::Read)?.take(record.tar_size));
        let mut hashing = Hashing { input, hasher: Hasher::like(&record.diff_id) };
        let work = self.store.ingest(&Hasher::digest_of(format!("check {}", record.diff_id).as_bytes()))?;
        let indexed = index_tar(&mut hashing, work.folder());
        io::copy(&mut hashing, &mut io::sink()).map_err(FileError::at("read", tar_path))?;
        if hashing.hasher.finish() != record.diff_id {
            return Ok(Some("its content has another digest"));
        }
        let (index, _) = indexed?;
        let made = work.folder().join("erofs");
        index.write(&tar, &made)?;
        let kept = folder.join("erofs");
        Ok((!same_content(&made, &kept)?).then_some("its index is not that of its content"))
    }
}

fn same_content(one: &Path, other: &Path) -> Result<bool, FileError> {
    let open = |path: &Path| {
        File::open(path).map(|file| BufReader::with_capacity(64 << 10, file)).map_err(FileError::at("open", path))
    };
    let (mut a, mut b) = (open(one)?, open(other)?);
    loop {
        let (left, right) =
            (a.fill_buf().map_err(FileError::at("read", one))?, b.fill_buf().map_err(FileError::at("read", other))?);
        let count = left.len().min(right.len());
        if count == 0 {
            return Ok(left.is_empty() && right.is_empty());
        }
        if left[..count] != right[..count] {
            return Ok(false);
        }
        a.consume(count);
        b.consume(count);
    }
}

/// Hashes what is read through it.
struct Hashing<R> {
    input: R,
    hasher: Hasher,
}

impl<R: BufRead> BufRead for Hashing<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if let Ok(bytes) = self.input.fill_buf() {
            self.hasher.update(&bytes[..amount.min(bytes.len())]);
        }
        self.input.consume(amount);
    }
}

impl<R: BufRead> Read for Hashing<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(target.len());
        target[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}
