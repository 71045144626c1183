// What of a dashboard is in the address, besides the view of the page: the main chart and the parameters of panels.

/** As in shell/view.ts. */
export type Search = Record<string, string | string[] | undefined>;

/** Values by name of the parameter, by panel. */
export type Parameters = Record<string, Record<string, string>>;

export interface BoardView {
  /** What the main chart shows, as `contentKey`. Its own if absent. */
  main?: string;
  parameters: Parameters;
  /** Whether the dashboard is being edited. */
  edit: boolean;
}

const first = (value: string | string[] | undefined): string | undefined => [value].flat()[0];

/** "top_pages.limit:50". The value may have any characters. */
const PARAMETER = /^([\w-]{1,64})\.(\w{1,64}):(.*)$/s;

export function readBoardView(search: Search): BoardView {
  const parameters: Parameters = {};
  for (const text of [search.set ?? []].flat()) {
    const [, panel, name, value] = PARAMETER.exec(text) ?? [];
    if (panel === undefined || name === undefined || value === undefined) continue;
    parameters[panel] = { ...parameters[panel], [name]: value };
  }
  return { main: first(search.main) || undefined, parameters, edit: first(search.edit) === "1" };
}

export function writeBoardView({ main, parameters, edit }: BoardView, search: Search = {}): Search {
  const set = Object.entries(parameters).flatMap(([panel, values]) =>
    Object.entries(values).map(([name, value]) => `${panel}.${name}:${value}`),
  );
  return {
    ...search,
    main,
    set: set.length === 0 ? undefined : set.length === 1 ? set[0] : set.sort(),
    edit: edit ? "1" : undefined,
  };
}

/** One parameter of a panel. Undefined is its default. */
export function withParameter(
  parameters: Parameters,
  panel: string,
  name: string,
  value: string | undefined,
): Parameters {
  const { [name]: _, ...rest } = parameters[panel] ?? {};
  const values = value === undefined ? rest : { ...rest, [name]: value };
  const { [panel]: __, ...others } = parameters;
  return Object.keys(values).length > 0 ? { ...others, [panel]: values } : others;
}
