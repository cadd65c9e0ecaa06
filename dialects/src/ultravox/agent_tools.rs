//! Functions as Ultravox takes them: a list of parameters, each with a schema of its own, and no references
//! from one to another.
//!
//! Source: Ultravox's `OpenAPI` document and its guide to client tools, read 2026-11-21.

use serde_json::{Map, Value, json};

use crate::conversation::setup::Tool;
use crate::live::events::Refusal;

/// The longest that a function may take: the vendor's ceiling. Its default of 2.5 seconds is less than many
/// clients need, and the call is frozen no longer than the client takes.
const TIMEOUT: &str = "40s";
/// The longest name.
const MAX_NAME: usize = 64;
/// The deepest schema, with what it refers to put in place.
const MAX_DEPTH: usize = 64;
/// The most values in a schema, with what it refers to put in place.
const MAX_VALUES: usize = 20_000;

/// The functions of a call.
pub(super) fn selected(tools: &[Tool]) -> Result<Vec<Value>, Refusal> {
    tools.iter().map(client_tool).collect()
}

fn client_tool(tool: &Tool) -> Result<Value, Refusal> {
    let refused = |reason: &str| {
        let name: String = tool.name.chars().take(MAX_NAME).collect();
        Refusal::value("session.tools", format!("Ultravox cannot take the function '{name}': {reason}."))
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if tool.name.is_empty() || tool.name.len() > MAX_NAME || !tool.name.bytes().all(plain) {
        return Err(refused("a name is 1 to 64 letters, digits, underscores and hyphens"));
    }
    let parameters = parameters(&tool.parameters).map_err(|reason| refused(&reason))?;
    let mut definition = Map::new();
    definition.insert("modelToolName".to_owned(), json!(tool.name));
    if !tool.description.is_empty() {
        definition.insert("description".to_owned(), json!(tool.description));
    }
    definition.insert("dynamicParameters".to_owned(), Value::Array(parameters));
    definition.insert("timeout".to_owned(), json!(TIMEOUT));
    definition.insert("client".to_owned(), json!({}));
    Ok(json!({"temporaryTool": definition}))
}

/// One entry for each property of the arguments.
fn parameters(schema: &Value) -> Result<Vec<Value>, String> {
    let mut arguments = match Inliner::new(schema).inlined(schema, 0)? {
        Value::Null => return Ok(Vec::new()),
        Value::Object(arguments) => arguments,
        _ => return Err("its parameters are not a JSON schema".to_owned()),
    };
    join_all(&mut arguments)?;
    if arguments.get("type").is_some_and(|kind| kind != "object") {
        return Err("its parameters are not an object".to_owned());
    }
    if let Some(choice) =
        ["anyOf", "oneOf", "not", "if", "patternProperties"].iter().find(|key| arguments.contains_key(**key))
    {
        return Err(format!("its parameters as a whole have '{choice}'"));
    }
    let required = arguments.remove("required");
    let required: Vec<&str> = required.iter().flat_map(Value::as_array).flatten().filter_map(Value::as_str).collect();
    let properties = match arguments.remove("properties") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(properties)) => properties,
        Some(_) => return Err("its 'properties' are not an object".to_owned()),
    };
    let parameter = |(name, schema): (String, Value)| {
        let (schema, nullable) = typed(schema).ok_or_else(|| format!("its parameter '{name}' has no single type"))?;
        // A parameter that may be null is one that may be left out.
        let required = required.contains(&name.as_str()) && !nullable;
        Ok(json!({"name": name, "location": "PARAMETER_LOCATION_BODY", "schema": schema, "required": required}))
    };
    properties.into_iter().map(parameter).collect()
}

/// Puts the parts of `allOf` together.
fn join_all(schema: &mut Map<String, Value>) -> Result<(), String> {
    let Some(parts) = schema.remove("allOf") else { return Ok(()) };
    for part in parts.as_array().into_iter().flatten() {
        let Value::Object(part) = part else { return Err("its 'allOf' is not a list of schemas".to_owned()) };
        for (key, value) in part {
            match (schema.get_mut(key), value) {
                (Some(Value::Object(known)), Value::Object(more)) => {
                    known.extend(more.iter().map(|(key, value)| (key.clone(), value.clone())));
                }
                (Some(Value::Array(known)), Value::Array(more)) => known.extend(more.iter().cloned()),
                (Some(_), _) => {}
                (None, _) => drop(schema.insert(key.clone(), value.clone())),
            }
        }
    }
    Ok(())
}

/// The schema with one type, and whether null is another; `None` where there are more types or none.
fn typed(schema: Value) -> Option<(Value, bool)> {
    let Value::Object(mut schema) = schema else { return None };
    if schema.contains_key("allOf") {
        join_all(&mut schema).ok()?;
    }
    let mut nullable = false;
    if let Some(Value::Array(kinds)) = schema.get("type") {
        let mut real: Vec<Value> = kinds.iter().filter(|kind| *kind != "null").cloned().collect();
        nullable = real.len() < kinds.len();
        let only = real.pop().filter(|_| real.is_empty())?;
        schema.insert("type".to_owned(), only);
    }
    if schema.get("type").is_some_and(|kind| kind.is_string() && kind != "null") {
        return Some((Value::Object(schema), nullable));
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(Value::Array(variants)) = schema.remove(key) {
            return one_of(schema, key, variants);
        }
    }
    let kind = guessed(&schema)?;
    schema.insert("type".to_owned(), json!(kind));
    Some((Value::Object(schema), nullable))
}

/// A choice has a type where all that can be chosen have the same.
fn one_of(mut schema: Map<String, Value>, key: &str, variants: Vec<Value>) -> Option<(Value, bool)> {
    let count = variants.len();
    let mut real: Vec<Value> =
        variants.into_iter().filter(|variant| variant.get("type").is_none_or(|kind| kind != "null")).collect();
    let nullable = real.len() < count;
    if real.len() == 1 {
        let (Value::Object(mut only), inner) = typed(real.pop()?)? else { return None };
        // What is said beside the choice, such as a description, is nearer to the parameter.
        only.extend(schema);
        return Some((Value::Object(only), nullable || inner));
    }
    let typed: Option<Vec<(Value, bool)>> = real.into_iter().map(typed).collect();
    let (variants, nulls): (Vec<Value>, Vec<bool>) = typed?.into_iter().unzip();
    let kind = variants.first()?.get("type")?.clone();
    if variants.iter().any(|variant| variant.get("type") != Some(&kind)) {
        return None;
    }
    schema.insert("type".to_owned(), kind);
    schema.insert(key.to_owned(), Value::Array(variants));
    Some((Value::Object(schema), nullable || nulls.contains(&true)))
}

/// The type of a schema that does not name it.
fn guessed(schema: &Map<String, Value>) -> Option<&'static str> {
    let values = schema.get("enum").and_then(Value::as_array).cloned();
    let values = values.or_else(|| schema.get("const").map(|only| vec![only.clone()]));
    if let Some(values) = values {
        let kinds: Vec<&str> = values.iter().map(kind).collect();
        return kinds.first().copied().filter(|first| kinds.iter().all(|other| other == first)).and_then(known);
    }
    if schema.contains_key("properties") {
        return Some("object");
    }
    schema.contains_key("items").then_some("array")
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn known(kind: &'static str) -> Option<&'static str> {
    (kind != "null").then_some(kind)
}

/// Puts what a schema refers to in the place of the reference.
struct Inliner<'a> {
    root: &'a Value,
    values: usize,
}

impl<'a> Inliner<'a> {
    fn new(root: &'a Value) -> Self {
        Self { root, values: 0 }
    }

    fn inlined(&mut self, value: &Value, depth: usize) -> Result<Value, String> {
        self.values += 1;
        if depth > MAX_DEPTH || self.values > MAX_VALUES {
            return Err("its schema is too large, too deep, or refers to itself".to_owned());
        }
        match value {
            Value::Array(values) => {
                let values: Result<Vec<Value>, String> =
                    values.iter().map(|value| self.inlined(value, depth + 1)).collect();
                Ok(Value::Array(values?))
            }
            Value::Object(fields) => self.object(fields, depth),
            other => Ok(other.clone()),
        }
    }

    fn object(&mut self, fields: &Map<String, Value>, depth: usize) -> Result<Value, String> {
        let mut out = match fields.get("$ref") {
            Some(Value::String(reference)) => self.referred(reference, depth)?,
            _ => Map::new(),
        };
        for (key, value) in fields {
            let reference = key == "$ref" && value.is_string();
            let definitions = depth == 0 && matches!(key.as_str(), "$defs" | "definitions" | "$schema");
            if !reference && !definitions {
                out.insert(key.clone(), self.inlined(value, depth + 1)?);
            }
        }
        Ok(Value::Object(out))
    }

    fn referred(&mut self, reference: &str, depth: usize) -> Result<Map<String, Value>, String> {
        let found = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
        match found.map(|found| self.inlined(found, depth + 1)).transpose()? {
            Some(Value::Object(found)) => Ok(found),
            _ => Err("its schema refers to something that is not in it".to_owned()),
        }
    }
}
