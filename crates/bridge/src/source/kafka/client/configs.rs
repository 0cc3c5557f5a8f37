//! Settings that the broker keeps for a group (KIP-848).

use std::ffi::CString;
use std::time::Duration;

use rdkafka::bindings as rd;

use super::admin::{Reply, items, late, timed_out};
use super::{Client, Trouble, c_name, check, take_error, text};

/// A setting of a group, or a broker's default for it: name, value.
pub(in super::super) type Setting = (String, String);

/// A group as the object of settings.
struct Group(*mut rd::rd_kafka_ConfigResource_t);

impl Group {
    fn new(id: &str) -> Self {
        let id = c_name(id);
        // SAFETY: the name ends in NUL and is copied.
        Self(unsafe {
            rd::rd_kafka_ConfigResource_new(
                rd::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_GROUP,
                id.as_ptr(),
            )
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: ours, and live until here.
        unsafe { rd::rd_kafka_ConfigResource_destroy(self.0) };
    }
}

impl Client {
    /// The settings that hold for this group, the broker's defaults included.
    pub(in super::super) fn group_settings(
        &self,
        group: &str,
        wait: Duration,
    ) -> Result<Vec<Setting>, Trouble> {
        let group = Group::new(group);
        let mut list = [group.0];
        let replies = self.reply_queue();
        let operation = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
        let options = self.options(operation, wait);
        // SAFETY: all are live for the call, which copies what it needs.
        unsafe {
            rd::rd_kafka_DescribeConfigs(
                self.raw(),
                list.as_mut_ptr(),
                list.len(),
                options.as_ptr(),
                replies.as_ptr(),
            );
        }
        replies.wait(late(wait)).ok_or_else(timed_out)?.settings()
    }

    /// Sets settings of this group; others stay as they are.
    pub(in super::super) fn set_group_settings(
        &self,
        group: &str,
        settings: &[(&str, String)],
        wait: Duration,
    ) -> Result<(), Trouble> {
        let group = Group::new(group);
        for (name, value) in settings {
            let (name, value) = (c_name(name), CString::new(value.as_str()).unwrap_or_default());
            // SAFETY: the group is live; both texts end in NUL and are copied.
            unsafe {
                take_error(rd::rd_kafka_ConfigResource_add_incremental_config(
                    group.0,
                    name.as_ptr(),
                    rd::rd_kafka_AlterConfigOpType_t::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET,
                    value.as_ptr(),
                ))?;
            }
        }
        let mut list = [group.0];
        let replies = self.reply_queue();
        let operation = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS;
        let options = self.options(operation, wait);
        // SAFETY: all are live for the call, which copies what it needs.
        unsafe {
            rd::rd_kafka_IncrementalAlterConfigs(
                self.raw(),
                list.as_mut_ptr(),
                list.len(),
                options.as_ptr(),
                replies.as_ptr(),
            );
        }
        replies.wait(late(wait)).ok_or_else(timed_out)?.altered()
    }
}

impl Reply {
    fn settings(&self) -> Result<Vec<Setting>, Trouble> {
        self.result()?;
        let mut count = 0;
        let mut settings = Vec::new();
        // SAFETY: everything belongs to the live event; texts are copied.
        unsafe {
            let result = rd::rd_kafka_event_DescribeConfigs_result(self.as_ptr());
            if result.is_null() {
                return Err(Trouble::of(rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__BAD_MSG));
            }
            let groups = rd::rd_kafka_DescribeConfigs_result_resources(result, &raw mut count);
            for group in items(groups.cast_const(), count) {
                refusal(*group)?;
                let entries = rd::rd_kafka_ConfigResource_configs(*group, &raw mut count);
                for entry in items(entries.cast_const(), count) {
                    let value = rd::rd_kafka_ConfigEntry_value(*entry);
                    settings.push((text(rd::rd_kafka_ConfigEntry_name(*entry)), text(value)));
                }
            }
        }
        Ok(settings)
    }

    fn altered(&self) -> Result<(), Trouble> {
        self.result()?;
        let mut count = 0;
        // SAFETY: everything belongs to the live event.
        unsafe {
            let result = rd::rd_kafka_event_IncrementalAlterConfigs_result(self.as_ptr());
            if result.is_null() {
                return Err(Trouble::of(rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__BAD_MSG));
            }
            let groups =
                rd::rd_kafka_IncrementalAlterConfigs_result_resources(result, &raw mut count);
            items(groups.cast_const(), count).iter().try_for_each(|group| refusal(*group))
        }
    }
}

/// What the broker has against it.
///
/// # Safety
/// `group` is live.
unsafe fn refusal(group: *const rd::rd_kafka_ConfigResource_t) -> Result<(), Trouble> {
    // SAFETY: as said; the text is copied.
    unsafe {
        check(rd::rd_kafka_ConfigResource_error(group)).map_err(|trouble| {
            let detail = text(rd::rd_kafka_ConfigResource_error_string(group));
            if detail.is_empty() { trouble } else { Trouble { code: trouble.code, text: detail } }
        })
    }
}
