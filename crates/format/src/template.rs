//! The public face of the template engine.

use serde_json::Value as Json;

/// A template that cannot be parsed or executed. The text is Docker's: `template parsing error: template: :1:2: …`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template parsing error: {message}")]
pub struct Error {
    /// Go's own message, which begins with `template: :LINE:`.
    pub message: String,
}

/// A method of the data's types, as in `{{.Label "key"}}`: given the receiver, the name and the arguments, it answers, or
/// fails with a message, or is `None` because there is no such method.
pub type Method<'m> = &'m dyn Fn(&Json, &str, &[Json]) -> Option<Result<Json, String>>;

/// Fields of Docker's types that are maps with keys of the user's choice: an absent key there is no error.
pub const DOCKER_MAPS: &[&str] = &[
    "Annotations",
    "Data",
    "DriverOpts",
    "ExposedPorts",
    "GenericResources",
    "Labels",
    "Networks",
    "Options",
    "PortBindings",
    "Ports",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
    "Volumes",
];

/// What a template means beyond the language itself. The default is plain Go over decoded JSON.
#[derive(Clone, Copy, Default)]
pub struct Env<'e> {
    /// An absent field is an error (Go's `missingkey=error`) and not `<no value>`.
    pub strict: bool,
    /// Treat objects as Docker's typed structures: `.ID` finds `Id`, null lists and maps are empty ones.
    pub typed: bool,
    /// With `typed`: names of fields that are maps (see [`DOCKER_MAPS`]).
    pub maps: &'e [&'e str],
    /// Methods of the data's types.
    pub methods: Option<Method<'e>>,
}

impl Env<'_> {
    /// As `docker inspect --format` behaves.
    #[must_use]
    pub const fn docker() -> Self {
        Env { strict: true, typed: true, maps: DOCKER_MAPS, methods: None }
    }
}

/// A parsed Go template with Docker's functions.
///
/// ```no_run
/// let template = carboy_format::Template::parse("{{.Name | upper}}: {{join .Tags \",\"}}").unwrap();
/// let data = serde_json::json!({"Name": "web", "Tags": ["a", "b"]});
/// assert_eq!(template.render(&data).unwrap(), "WEB: a,b");
/// ```
#[derive(Debug, Clone)]
pub struct Template {
    text: String,
    parsed: crate::parse::Parsed,
}

impl Template {
    /// Parses `text`.
    ///
    /// # Errors
    /// The first mistake, in Go's words.
    pub fn parse(text: &str) -> Result<Self, Error> {
        match crate::parse::parse(text) {
            Ok(parsed) => Ok(Template { text: text.to_owned(), parsed }),
            Err(message) => Err(Error { message }),
        }
    }

    /// Executes the template on `data` as `docker inspect --format` would ([`Env::docker`]).
    ///
    /// # Errors
    /// What cannot be evaluated, in Go's words.
    pub fn render(&self, data: &Json) -> Result<String, Error> {
        self.render_with(data, &Env::docker())
    }

    /// Executes the template on `data` in an environment of the caller's choice.
    ///
    /// # Errors
    /// What cannot be evaluated, in Go's words.
    pub fn render_with(&self, data: &Json, env: &Env<'_>) -> Result<String, Error> {
        crate::exec::execute(&self.text, &self.parsed, env, data, false).map_err(|message| Error { message })
    }

    /// The heading of a table: functions that change text leave column names as they are. What fails is left out.
    pub(crate) fn render_header(&self, names: &Json) -> String {
        let env = Env { methods: Some(&|_, name, args| crate::listing::header_method(name, args)), ..Env::docker() };
        crate::exec::execute(&self.text, &self.parsed, &env, names, true).unwrap_or_default()
    }
}
