// The methods of the server that browsers can call, for `call` and `stream` of client.ts.

export { CREATE_KEY, LIST_KEYS, REVOKE_KEY, ROTATE_KEY } from "../gen/millrace/v1/admin_codec.ts";
export { LIST_EVENT_NAMES, LIST_PROPERTIES, LIST_VALUES } from "../gen/millrace/v1/catalogue_codec.ts";
export {
  GET_ACTIVE_USERS,
  GET_ERROR_RATE,
  GET_LIVE_VISITORS,
  GET_SIGNUP_FUNNEL,
  GET_TOP_FEATURES,
  GET_TOP_PAGES,
  GET_TRAFFIC_ANOMALY,
  GET_TRAFFIC_BY_COUNTRY,
  LIST_PANELS,
  QUERY_PANEL,
  QUERY_SQL,
  WATCH_PANELS,
} from "../gen/millrace/v1/dashboard_codec.ts";
export { LIST_REJECTED_EVENTS, LIST_SOURCES, SEARCH_EVENTS, TAIL_EVENTS } from "../gen/millrace/v1/events_codec.ts";
export {
  LIST_PEOPLE,
  QUERY_FUNNEL,
  QUERY_PATHS,
  QUERY_RETENTION,
  QUERY_TREND,
} from "../gen/millrace/v1/explore_codec.ts";
export { HEALTH_CHECK, HEALTH_WATCH } from "../gen/millrace/v1/health_codec.ts";
export { GET_PRODUCER, SEND_EVENTS } from "../gen/millrace/v1/ingest_codec.ts";
export {
  DELETE_ANNOTATION,
  DELETE_DASHBOARD,
  DELETE_INSIGHT,
  GET_DASHBOARD,
  GET_INSIGHT,
  LIST_ANNOTATIONS,
  LIST_DASHBOARDS,
  LIST_INSIGHTS,
  SAVE_ANNOTATION,
  SAVE_DASHBOARD,
  SAVE_INSIGHT,
} from "../gen/millrace/v1/insights_codec.ts";
export {
  LIST_DEAD_LETTERS,
  LIST_PANEL_STATISTICS,
  LIST_SETTINGS,
  REPLAY_DEAD_LETTERS,
} from "../gen/millrace/v1/operations_codec.ts";
export { GET_PERSON, GET_TIMELINE, LIST_SESSIONS, SEARCH_PEOPLE } from "../gen/millrace/v1/people_codec.ts";
