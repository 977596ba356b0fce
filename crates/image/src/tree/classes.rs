//! What many objects of a layer have alike, kept once: permissions, owner, and extended attributes.

use crate::tar::Xattr;
use std::collections::HashMap;
use std::rc::Rc;

/// Metadata but times.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Class {
    /// Type and permissions.
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) xattrs: Vec<Xattr>,
}

/// All that occur.
#[derive(Default)]
pub(super) struct Classes {
    list: Vec<Rc<Class>>,
    numbers: HashMap<Rc<Class>, u32>,
    memory: usize,
}

impl Classes {
    /// Bytes of memory, about.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    pub(super) fn get(&self, number: u32) -> &Class {
        &self.list[number as usize]
    }

    /// The number of a class.
    pub(super) fn number(&mut self, class: Class) -> u32 {
        if let Some(&number) = self.numbers.get(&class) {
            return number;
        }
        let xattrs: usize = class.xattrs.iter().map(|(name, value)| name.len() + value.len() + 80).sum();
        self.memory += 128 + xattrs;
        let (number, class) = (self.list.len() as u32, Rc::new(class));
        self.list.push(class.clone());
        self.numbers.insert(class, number);
        number
    }
}
