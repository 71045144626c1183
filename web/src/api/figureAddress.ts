// A figure of Explore as a parameter of the page's address, `/people?figure=…`: the fields of ListPeopleRequest in binary, in
// base64url. Old addresses stay valid as long as the contract does, and the server can write them too.

import { LIST_PEOPLE_REQUEST } from "../gen/millrace/v1/explore_codec.ts";
import type { ListPeopleRequest } from "../gen/millrace/v1/explore_pb.ts";
import { decode, encode, type Init } from "./codec.ts";

/** A figure of a trend, a funnel or a retention, with its query. */
export type Figure = Exclude<ListPeopleRequest["figure"], { case: undefined }>;
export type FigureInit = Extract<Init<ListPeopleRequest>["figure"], { case?: Figure["case"] }>;

export function encodeFigure(figure: FigureInit): string {
  let binary = "";
  for (const byte of encode(LIST_PEOPLE_REQUEST, { figure })) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** Undefined if the text is not a figure with its query. */
export function decodeFigure(text: string): Figure | undefined {
  if (!/^[\w-]+$/.test(text)) return undefined;
  try {
    const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(binary, (character) => character.charCodeAt(0));
    const { figure } = decode(LIST_PEOPLE_REQUEST, bytes);
    return figure.case !== undefined && figure.value.query !== undefined ? figure : undefined;
  } catch {
    return undefined;
  }
}
