//! Who is in a group of the classic protocol.

use std::time::Duration;

use rdkafka::bindings as rd;

use super::admin::{Reply, late, timed_out};
use super::{Client, Trouble, c_name, check, text};

/// A static member: `group.instance.id`, and the id that the broker gave it.
pub(in super::super) type StaticMember = (String, String);

/// What a coordinator says of a group's static members.
#[derive(Debug, Default)]
pub(in super::super) struct StaticMembers {
    pub(in super::super) members: Vec<StaticMember>,
    /// Whether it waits for members to join, or for their assignment.
    pub(in super::super) rebalances: bool,
}

impl Client {
    /// The static members of this group as the broker has them.
    pub(in super::super) fn static_members(
        &self,
        group: &str,
        wait: Duration,
    ) -> Result<StaticMembers, Trouble> {
        let name = c_name(group);
        let mut names = [name.as_ptr()];
        let replies = self.reply_queue();
        let operation = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
        let options = self.options(operation, wait);
        // SAFETY: all are live for the call, which copies what it needs.
        unsafe {
            rd::rd_kafka_DescribeConsumerGroups(
                self.raw(),
                names.as_mut_ptr(),
                names.len(),
                options.as_ptr(),
                replies.as_ptr(),
            );
        }
        replies.wait(late(wait)).ok_or_else(timed_out)?.static_members()
    }

    /// The id under which the broker knows this member; empty when it does not.
    pub(in super::super) fn member_id(&self) -> String {
        // SAFETY: the handle is live; the text is ours, copied and given back.
        unsafe {
            let id = rd::rd_kafka_memberid(self.raw());
            let copy = text(id);
            if !id.is_null() {
                rd::rd_kafka_mem_free(self.raw(), id.cast());
            }
            copy
        }
    }
}

impl Reply {
    fn static_members(&self) -> Result<StaticMembers, Trouble> {
        use rd::rd_kafka_consumer_group_state_t as State;
        self.result()?;
        let mut count = 0;
        let mut found = StaticMembers::default();
        // SAFETY: everything belongs to the live event; texts are copied.
        unsafe {
            let result = rd::rd_kafka_event_DescribeConsumerGroups_result(self.as_ptr());
            if result.is_null() {
                return Err(Trouble::of(rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__BAD_MSG));
            }
            let groups = rd::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
            for group in super::admin::items(groups.cast_const(), count) {
                let error = rd::rd_kafka_ConsumerGroupDescription_error(*group);
                if !error.is_null() {
                    check(rd::rd_kafka_error_code(error))?;
                }
                found.rebalances |= matches!(
                    rd::rd_kafka_ConsumerGroupDescription_state(*group),
                    State::RD_KAFKA_CONSUMER_GROUP_STATE_PREPARING_REBALANCE
                        | State::RD_KAFKA_CONSUMER_GROUP_STATE_COMPLETING_REBALANCE
                );
                for index in 0..rd::rd_kafka_ConsumerGroupDescription_member_count(*group) {
                    let member = rd::rd_kafka_ConsumerGroupDescription_member(*group, index);
                    let instance = rd::rd_kafka_MemberDescription_group_instance_id(member);
                    if !instance.is_null() {
                        let id = rd::rd_kafka_MemberDescription_consumer_id(member);
                        found.members.push((text(instance), text(id)));
                    }
                }
            }
        }
        Ok(found)
    }
}
