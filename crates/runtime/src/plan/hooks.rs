//! Hooks, by the moment at which they run.

use super::Planner;
use crate::step::{Action, Moment, Signal};
use carboy_oci::runtime::Hooks;
use carboy_wire::plan::Actor;

impl Planner<'_> {
    pub(super) fn create_hooks(&mut self, hooks: Option<&Hooks>) {
        let outside = hooks.is_some_and(|h| !h.prestart.is_empty() || !h.create_runtime.is_empty());
        if outside {
            self.init("", Action::Tell(Signal::RootfsReady));
            self.hooks(Actor::Runtime, Moment::Prestart, hooks);
            self.hooks(Actor::Runtime, Moment::CreateRuntime, hooks);
            self.runtime("", Action::Tell(Signal::HooksDone));
        }
        self.hooks(Actor::Init, Moment::CreateContainer, hooks);
    }

    pub(super) fn hooks(&mut self, actor: Actor, moment: Moment, hooks: Option<&Hooks>) {
        let Some(hooks) = hooks else { return };
        let list = moment.of(hooks);
        if !list.is_empty() {
            self.push(actor, format!("hooks.{}", moment.name()), Action::Hooks(moment, list.to_vec()));
        }
    }
}

impl Moment {
    /// All of them, in order.
    pub const ALL: [Moment; 6] = [
        Moment::Prestart,
        Moment::CreateRuntime,
        Moment::CreateContainer,
        Moment::StartContainer,
        Moment::Poststart,
        Moment::Poststop,
    ];

    /// The spec's name.
    pub fn name(self) -> &'static str {
        match self {
            Moment::Prestart => "prestart",
            Moment::CreateRuntime => "createRuntime",
            Moment::CreateContainer => "createContainer",
            Moment::StartContainer => "startContainer",
            Moment::Poststart => "poststart",
            Moment::Poststop => "poststop",
        }
    }

    /// The hooks of this moment.
    pub fn of(self, hooks: &Hooks) -> &[carboy_oci::runtime::Hook] {
        match self {
            Moment::Prestart => &hooks.prestart,
            Moment::CreateRuntime => &hooks.create_runtime,
            Moment::CreateContainer => &hooks.create_container,
            Moment::StartContainer => &hooks.start_container,
            Moment::Poststart => &hooks.poststart,
            Moment::Poststop => &hooks.poststop,
        }
    }
}
