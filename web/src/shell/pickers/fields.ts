// Fields, events and values of events in words.

import { dimensionWords } from "../../frame/words.ts";
import { countryName } from "../../lib/format.ts";
import { countryCode } from "./countries.ts";

/** "properties.plan" becomes "plan", "country_code" becomes "country". */
export const fieldWords = (field: string): string => dimensionWords(field.replace(/^properties\./, ""));

export const eventName = (event: string): string => (event === "" ? "Any event" : event);

const COUNTRY = /(^|[._])country(_code)?$/;

/** Whether values of the field are shown as names of countries. */
export const isCountryField = (field: string): boolean => COUNTRY.test(field);

/** A text beside the name of a country that is no code of one looks different. */
export function valueWords(field: string, value: string): string {
  if (value === "") return "“”";
  if (!isCountryField(field)) return value;
  if (/^[A-Z]{2}$/.test(value)) return countryName(value);
  return countryCode(value) ? `“${value}”` : value;
}

/** A typed value as events have it: "Germany" is DE where the values are codes. */
export function storedValue(field: string, typed: string, offered: string[]): string {
  const text = typed.trim();
  if (!isCountryField(field) || offered.includes(text)) return text;
  const code = /^[a-z]{2}$/i.test(text) ? text.toUpperCase() : countryCode(text);
  return code && (field === "country_code" || offered.includes(code)) ? code : text;
}
