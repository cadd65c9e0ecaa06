//! What pages are made of. Components take plain values or signals and call back; none asks a server.

#![expect(unreachable_pub, reason = "the macro of components writes `pub` functions")]
#![expect(dead_code, unused_imports, reason = "pages take from the kit what they need")]

mod badge;
mod button;
mod choice;
mod copy;
mod dialog;
mod field;
mod file;
mod filter;
mod form;
mod icon;
mod layout;
mod menu;
mod range;
mod sortable;
mod sound;
mod stat;
mod state;
mod steps;
mod table;
mod tabs;
mod toast;

pub(crate) use badge::{Badge, Meter, Notice, Progress, Status, Tone};
pub(crate) use button::{Button, ButtonKind, IconButton, LinkButton};
pub(crate) use choice::{CheckField, Choice, ChoiceSet, Segments, SelectField};
pub(crate) use copy::{Code, CopyButton, CopyField};
pub(crate) use dialog::{Confirm, Dialog, Panel};
pub(crate) use field::{AreaField, TextField, field_error, unique_id};
pub(crate) use file::{FileDrop, save_file};
pub(crate) use filter::{FilterSelect, SearchBox};
pub(crate) use form::{Form, FormActions, FormButtons, FormError, FormRow, FormSection};
pub(crate) use icon::{Icon, IconName};
pub(crate) use layout::{Card, Detail, Details, Grid, PageHead, Split, Stack, Toolbar};
pub(crate) use menu::{Menu, MenuItem};
pub(crate) use range::{Range, RangePicker};
pub(crate) use sortable::SortableList;
pub(crate) use sound::{Sound, SoundRow};
pub(crate) use stat::{Change, Stat};
pub(crate) use state::{Empty, Failed, Loaded, LoadedLive, Loading};
pub(crate) use steps::{Step, StepList};
pub(crate) use table::{Column, DataTable};
pub(crate) use tabs::{TabPanel, Tabs};
pub(crate) use toast::{ToastList, Toasts, provide_toasts, use_toasts};
