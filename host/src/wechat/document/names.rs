//! The names that WeChat documents.

use std::cmp::Ordering;

/// What almost every message consists of.
const COMMON: [&str; 8] =
    ["ToUserName", "FromUserName", "CreateTime", "MsgType", "Content", "MsgId", "Event", "EventKey"];

/// WeChat's own spelling of a documented name, however it was spelt. A few names are documented in two ways: a spelling that is one
/// of them stays, any other gets the commoner one.
pub(super) fn documented(name: &str) -> Option<&'static str> {
    // Found at a glance, which the search in the long list is not.
    if let Some(common) = COMMON.into_iter().find(|common| *common == name) {
        return Some(common);
    }
    let start = DOCUMENTED.partition_point(|known| compare(known, name).is_lt());
    let same = || DOCUMENTED[start..].iter().copied().take_while(|known| compare(known, name).is_eq());
    same().find(|&known| known == name).or_else(|| same().next())
}

/// Whether elements of this name form a list even when there is only one.
pub(super) fn is_list(name: &str) -> bool {
    name.eq_ignore_ascii_case("item") || name.eq_ignore_ascii_case("list")
}

/// Whether XML allows this as an element's name, to the precision that matters: beyond ASCII everything passes.
pub(super) fn is_name(name: &str) -> bool {
    let starts = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | ':') || !c.is_ascii();
    let goes_on = |c: char| starts(c) || c.is_ascii_digit() || matches!(c, '-' | '.');
    name.starts_with(starts) && name.chars().all(goes_on)
}

/// Sorted without regard to case; where only the case differs, the commoner spelling comes first.
#[rustfmt::skip]
const DOCUMENTED: &[&str] = &[
    "AppId", "AppID", "AroundBeacon", "AroundBeacons", "article_detail", "article_id",
    "article_url", "ArticleIdx", "ArticleUrl", "ArticleUrlResult", "AuditState", "AuthorizeAppId",
    "bizmsgmenuid", "CanReprint", "CardId", "CheckState", "ChosenBeacon", "City", "CloseType",
    "ConnectTime", "ConsumeSource", "Content", "CopyrightCheckResult", "Count", "count", "Country",
    "CreateOrderTime", "CreateTime", "Desc", "Description", "Detail", "DeviceNo", "Distance",
    "Encrypt", "ErrorCode", "ErrorCount", "ErrorStatus", "Event", "EventKey", "ExpiredTime",
    "ExpireTime", "ExtInfo", "fail_idx", "FailOrderId", "FailReason", "FailTime", "Fee", "FileKey",
    "FileMd5", "FileTotalLen", "FilterCount", "Format", "FreeCoinCount", "FriendUserName",
    "FromKfAccount", "FromUserName", "Idx", "idx", "IsChatRoom", "IsGiveByFriend",
    "IsRecommendByFriend", "IsRestoreMemberCard", "IsReturnBack", "item", "KeyStandard", "KeyStr",
    "KfAccount", "Label", "Latitude", "List", "Location_X", "Location_Y", "LocationId",
    "LocationName", "Longitude", "Major", "MediaId", "MediaId16K", "Memo", "MenuId", "Minor",
    "ModifyBalance", "ModifyBonus", "msg", "MsgDataId", "MsgId", "MsgID", "MsgType",
    "NeedReplaceContent", "NeedShowReprintSource", "OldUserCardCode", "OpenID", "OpenPID",
    "OrderId", "OrderType", "OriginalArticleType", "OriginalArticleUrl", "OriginalFee", "OuterId",
    "OuterStr", "PagePath", "PayCoinCount", "PayFinishTime", "PicList", "PicMd5Sum", "PicUrl",
    "PluginID", "PoiId", "Poiname", "PopupScene", "Precision", "Province", "publish_id",
    "publish_status", "PublishEventInfo", "ReasonMsg", "ReceiptInfo", "Recognition",
    "RefundFreeCoinCount", "RefundPayCoinCount", "RefuseReason", "RegionCode", "RemarkAmount",
    "Result", "ResultList", "RevokeInfo", "Scale", "ScanCodeInfo", "ScanResult", "ScanType",
    "Scene", "SendLocationInfo", "SendPicsInfo", "SentCount", "Sex", "ShopId", "Source",
    "SourceScene", "StaffOpenId", "Status", "SubscribeMsgChangeEvent", "SubscribeMsgPopupEvent",
    "SubscribeMsgSentEvent", "SubscribeStatusString", "SuccOrderId", "TemplateId", "ThumbMediaId",
    "ThumbUrl", "Ticket", "Title", "ToKfAccount", "TotalCount", "ToUserName", "TransId", "UnionId",
    "UniqId", "Url", "UserCardCode", "UserDeclareState", "Uuid", "VendorId", "VerifyCode",
];

fn compare(a: &str, b: &str) -> Ordering {
    let lower = |byte: u8| byte.to_ascii_lowercase();
    a.bytes().map(lower).cmp(b.bytes().map(lower))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted() {
        for pair in DOCUMENTED.windows(2) {
            assert!(compare(pair[0], pair[1]).is_le() && pair[0] != pair[1], "{pair:?}");
        }
    }

    #[test]
    fn every_documented_name_is_found_in_any_case() {
        for &name in DOCUMENTED {
            assert_eq!(documented(name), Some(name));
            for other in [name.to_uppercase(), name.to_lowercase()] {
                assert!(documented(&other).is_some_and(|found| found.eq_ignore_ascii_case(name)));
            }
        }
    }

    #[test]
    fn the_common_names_are_among_them() {
        assert!(COMMON.iter().all(|common| DOCUMENTED.contains(common)));
    }

    #[test]
    fn of_two_spellings_the_exact_one_wins_and_then_the_commoner() {
        assert_eq!(documented("MsgID"), Some("MsgID"));
        assert_eq!(documented("msgid"), Some("MsgId"));
        assert_eq!(documented("count"), Some("count"));
        assert_eq!(documented("COUNT"), Some("Count"));
        assert_eq!(documented("APPID"), Some("AppId"));
    }

    #[test]
    fn a_name_that_is_not_documented_is_not_found() {
        for name in ["", "Ms", "MsgIds", "微信", "zzz", "\0"] {
            assert_eq!(documented(name), None);
        }
    }

    #[test]
    fn a_name_begins_like_a_name() {
        for name in ["a", "_", "xsd:a", "a-1.b_", "名"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "0", "-a", ".a", "a b", "a/b", "a\"", "<", "a&b", "a=", "a\0"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
