//! The zip in a request: its body, or the one file of a form.

use axum::body::Body;
use axum::extract::Request;
use composer::excerpt;
use http::header::CONTENT_TYPE;
use multer::{Constraints, Multipart, SizeLimit};
use utoipa::ToSchema;

use crate::http::kit::body::{Reception, content_length};
use crate::registry::access::actor::Actor;
use crate::registry::kernel::app::App;
use crate::registry::kernel::failure::Failure;
use crate::registry::kernel::memory::Permit;
use crate::registry::sources::incoming_zip::{IncomingZip, ReceivedZip};
use crate::registry::sources::uploads::inspect::MAX_ZIP_BYTES;
use crate::registry::sources::uploads::{acquire_turn, too_large};

/// Most bytes of a form around its zip: headers and boundaries.
const FORM_BYTES: usize = 64 << 10;

/// A zip.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub struct Zip(());

/// A form with a zip.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only describes the form")]
pub struct ZipForm {
    /// The zip.
    #[schema(value_type = String, format = Binary)]
    file: (),
}

/// Receives the zip in a request: the body, or the one file of a form. What is larger than a part waits in the blob store,
/// so that receiving takes no more memory than that; `by` receives one at a time.
///
/// # Errors
/// `Invalid` when it is too large or none, `RequestTimeout` when it comes too slowly, `TooMany` and `Busy` when others are
/// received.
pub async fn receive_zip(app: &App, by: &Actor, request: Request) -> Result<ReceivedZip, Failure> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_form = content_type.trim_start().to_ascii_lowercase().starts_with("multipart/");
    let boundary = is_form.then(|| multer::parse_boundary(content_type)).transpose();
    let boundary = boundary.map_err(|error| Failure::invalid(format!("The form cannot be read: {error}")))?;
    let most = if is_form { MAX_ZIP_BYTES + FORM_BYTES } else { MAX_ZIP_BYTES };
    let announced = content_length(request.headers()).map_or(Some(most), |bytes| usize::try_from(bytes).ok());
    let announced = announced.filter(|bytes| *bytes <= most).ok_or_else(too_large)?;
    let turn = acquire_turn(app, by).await?;
    let reception = Reception::begin(app, announced).await?;
    let mut intake = ZipIntake { app, turn, reception, zip: IncomingZip::new(app) };
    let received = match boundary {
        Some(boundary) => read_form(request.into_body(), boundary, &mut intake).await,
        None => read_whole_body(request.into_body(), &mut intake).await,
    };
    match received {
        Ok(()) if intake.zip.size() > 0 => Ok(intake.zip.finish().await?),
        Ok(()) => Err(Failure::invalid("The request holds no zip. Send it as the body: `curl -T package.zip …`.")),
        Err(failure) => {
            intake.zip.discard().await;
            Err(failure)
        }
    }
}

/// A zip that is being received, and what is held meanwhile.
struct ZipIntake<'a> {
    app: &'a App,
    turn: Permit,
    reception: Reception<'a>,
    zip: IncomingZip<'a>,
}

impl ZipIntake<'_> {
    async fn take(&mut self, piece: &[u8]) -> Result<(), Failure> {
        if self.zip.size() + piece.len() as u64 > MAX_ZIP_BYTES as u64 {
            return Err(too_large());
        }
        self.turn.renew(self.app.now());
        Ok(self.zip.take(piece).await?)
    }
}

async fn read_whole_body(mut body: Body, intake: &mut ZipIntake<'_>) -> Result<(), Failure> {
    while let Some(piece) = intake.reception.next_piece(&mut body).await? {
        intake.take(&piece).await?;
    }
    Ok(())
}

async fn read_form(body: Body, boundary: String, intake: &mut ZipIntake<'_>) -> Result<(), Failure> {
    let unreadable = |error: multer::Error| match error {
        multer::Error::StreamSizeExceeded { .. } => too_large(),
        error => Failure::invalid(format!("The form cannot be read: {error}")),
    };
    let constraints = Constraints::new().size_limit(SizeLimit::new().whole_stream((MAX_ZIP_BYTES + FORM_BYTES) as u64));
    let mut form = Multipart::with_constraints(body.into_data_stream(), boundary, constraints);
    let mut is_first = true;
    while let Some(mut field) = intake.reception.wait(form.next_field()).await?.map_err(unreadable)? {
        if field.file_name().is_none() || !is_first {
            let name = excerpt(field.name().unwrap_or_default()).escape_default().to_string();
            return Err(Failure::invalid_field(&name, "the form holds one file, the zip, and nothing else"));
        }
        is_first = false;
        while let Some(piece) = intake.reception.wait(field.chunk()).await?.map_err(unreadable)? {
            intake.reception.note(piece.len());
            intake.take(&piece).await?;
        }
    }
    Ok(())
}
