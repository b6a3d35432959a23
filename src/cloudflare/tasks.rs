//! Work that outlives the response: `waitUntil`, and the queues.

use std::time::Duration;

use wasm_bindgen::JsValue;
use worker::send::{SendFuture, SendWrapper};
use worker::{BatchMessageBuilder, Context, Queue, QueueContentType, RawMessageBuilder, ScheduleContext};

use crate::ports::{BoxFuture, Fault, Job, JobQueue, Tasks};

/// The longest a message may be held back: 12 h.
const LONGEST_DELAY: u64 = 12 * 60 * 60;

/// The event that is being handled; the runtime keeps the isolate alive on its behalf.
pub enum Event {
    /// A request, or a batch of messages.
    Request(Context),
    /// A tick of the cron trigger.
    Schedule(ScheduleContext),
}

/// The queues that jobs wait in.
#[derive(Clone)]
pub struct Queues {
    /// That of [`JobQueue::Jobs`].
    pub jobs: Queue,
    /// That of [`JobQueue::Builds`].
    pub builds: Queue,
}

impl Queues {
    fn of(&self, queue: JobQueue) -> &Queue {
        match queue {
            JobQueue::Jobs => &self.jobs,
            JobQueue::Builds => &self.builds,
        }
    }
}

/// The tasks of one event.
pub struct EventTasks {
    event: SendWrapper<Event>,
    queues: Queues,
}

impl EventTasks {
    /// The port on `event`'s lifetime and on `queues`.
    pub fn new(event: Event, queues: Queues) -> Self {
        Self { event: SendWrapper::new(event), queues }
    }

    async fn send(&self, queue: JobQueue, jobs: &[Job], delay: Duration) -> worker::Result<()> {
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        let seconds = u32::try_from(seconds.min(LONGEST_DELAY)).unwrap_or_default();
        let mut batch = BatchMessageBuilder::new();
        for job in jobs {
            // As text, because a serialised enum may become a JavaScript `Map`, which the queue's JSON would drop.
            let message =
                RawMessageBuilder::new(JsValue::from_str(&serde_json::to_string(job)?)).delay_seconds(seconds);
            batch = batch.message(message.build_with_content_type(QueueContentType::Text));
        }
        self.queues.of(queue).send_raw_batch(batch.build()).await
    }
}

impl Tasks for EventTasks {
    fn wait_until(&self, work: BoxFuture<'static, ()>) {
        match &*self.event {
            Event::Request(context) => context.wait_until(work),
            Event::Schedule(context) => context.wait_until(work),
        }
    }

    fn enqueue(&self, queue: JobQueue, jobs: Vec<Job>, delay: Duration) -> BoxFuture<'_, Result<(), Fault>> {
        Box::pin(SendFuture::new(async move {
            self.send(queue, &jobs, delay).await.map_err(|error| Fault::new("queue", error))
        }))
    }
}
