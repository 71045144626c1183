// Parameters of panels. Their values are in the address.

import { createContext, use } from "react";
import type { PanelInfo } from "../../live/protocol.ts";
import type { Parameters } from "./board/address.ts";

interface ParametersOfPage {
  values: Parameters;
  /** Undefined values are the defaults. */
  set: (panel: string, values: Record<string, string | undefined>) => void;
}

export const ParametersContext = createContext<ParametersOfPage>({ values: {}, set: () => {} });
export const useParametersOfPage = (): ParametersOfPage => use(ParametersContext);

/** What is set, in words: "limit 50". Empty if everything has its default. */
export function parametersText({ parameters = [], name }: PanelInfo, values: Parameters): string {
  const own = values[name] ?? {};
  return parameters
    .filter((parameter) => (own[parameter.name] ?? parameter.defaultValue) !== parameter.defaultValue)
    .map((parameter) => `${label(parameter.name)} ${own[parameter.name]}`)
    .join(", ");
}

export const label = (name: string): string => name.replaceAll("_", " ");
