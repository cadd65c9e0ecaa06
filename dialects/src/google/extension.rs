//! The object `google` of a request: what OpenAI has no field for, under Google's own names.

use domain::provider::Extensions;
use serde_json::{Map, Value};

use crate::contract::UpstreamModel;
use crate::error::DialectError;
use crate::openai::unsupported;

/// One name that the object may hold.
pub(super) struct Field {
    /// Google's name of it.
    pub(super) name: &'static str,
    /// How it is called in an error.
    pub(super) param: &'static str,
    /// What it may be.
    pub(super) kind: Kind,
}

/// What a value may be.
pub(super) enum Kind {
    /// `true` or `false`.
    Flag,
    /// A number within these bounds.
    Number(f64, f64),
    /// A whole number within these bounds.
    Count(u64, u64),
    /// Any text.
    Text,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// Texts; one that stands alone is a list of one.
    Texts,
    /// An object that is passed on as it is.
    Object,
}

/// The checked object; empty where the request has none.
///
/// # Errors
/// [`DialectError::Unsupported`] for a name that this model has no field for, [`DialectError::Invalid`]
/// for a value that cannot be.
pub(super) fn read(
    extensions: &Extensions,
    model: &UpstreamModel,
    fields: &[&[Field]],
) -> Result<Map<String, Value>, DialectError> {
    let mut checked = Map::new();
    let Some(sent) = extensions.get("google") else { return Ok(checked) };
    let Some(sent) = sent.as_object() else {
        return Err(DialectError::Invalid { param: "google", message: "`google` must be an object".to_owned() });
    };
    for (name, value) in sent.iter().filter(|(_, value)| !value.is_null()) {
        let Some(field) = fields.iter().copied().flatten().find(|field| field.name == name) else {
            return Err(unsupported(model, "google", &format!("`google.{name}`")));
        };
        checked.insert(name.clone(), field.kind.check(value).ok_or_else(|| field.refuse(value))?);
    }
    Ok(checked)
}

impl Field {
    fn refuse(&self, value: &Value) -> DialectError {
        let (param, wanted) = (self.param, self.kind.wanted());
        DialectError::Invalid { param, message: format!("`{param}` must be {wanted}, not {}", shortened(value)) }
    }
}

fn shortened(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 40 { text } else { text.chars().take(39).chain(['…']).collect() }
}

impl Kind {
    fn check(&self, value: &Value) -> Option<Value> {
        let fits = match self {
            Self::Flag => value.is_boolean(),
            Self::Number(least, most) => value.as_f64().is_some_and(|number| (*least..=*most).contains(&number)),
            Self::Count(least, most) => value.as_u64().is_some_and(|count| (*least..=*most).contains(&count)),
            Self::Text => value.as_str().is_some_and(|text| !text.is_empty()),
            Self::OneOf(names) => value.as_str().is_some_and(|text| names.contains(&text)),
            Self::Object => value.is_object(),
            Self::Texts => {
                let list = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
                return list.iter().all(Value::is_string).then_some(Value::Array(list));
            }
        };
        fits.then(|| value.clone())
    }

    fn wanted(&self) -> String {
        match self {
            Self::Flag => "true or false".to_owned(),
            Self::Number(least, most) => format!("a number from {least} to {most}"),
            Self::Count(least, most) => format!("a whole number from {least} to {most}"),
            Self::Text => "text".to_owned(),
            Self::OneOf(names) => format!("one of {}", names.join(", ")),
            Self::Texts => "a list of texts".to_owned(),
            Self::Object => "an object".to_owned(),
        }
    }
}

/// A field whose name in an error is written out beside it, since it has to be known when compiling.
macro_rules! field {
    ($name:literal, $kind:expr) => {
        Field { name: $name, param: concat!("google.", $name), kind: $kind }
    };
}
pub(super) use field;
