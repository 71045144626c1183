import { useState } from "react";
import { Button } from "../../ui/Button.tsx";
import { Input } from "../../ui/Field.tsx";
import { SegmentedControl } from "../../ui/SegmentedControl.tsx";
import type { Wanted } from "./address.ts";
import { words } from "./strings.ts";

interface Props {
  wanted: Wanted;
  onSearch: (wanted: Wanted) => void;
}

export function SearchForm({ wanted, onSearch }: Props) {
  const [draft, setDraft] = useState(wanted);
  const [by, setBy] = useState<"id" | "trait">(wanted.trait === "" ? "id" : "trait");
  const set = (change: Partial<Wanted>) => setDraft((before) => ({ ...before, ...change }));
  const common = { autoComplete: "off", spellCheck: false, autoCapitalize: "none" } as const;
  return (
    // biome-ignore lint/a11y/useSemanticElements: browsers of 2022 do not know <search>
    <form
      role="search"
      noValidate
      className="people-search"
      onSubmit={(event) => {
        event.preventDefault();
        if (by === "id") onSearch({ id: draft.id.trim(), trait: "", value: "" });
        else if (draft.trait.trim() !== "" && draft.value.trim() !== "")
          onSearch({ id: "", trait: draft.trait.trim(), value: draft.value.trim() });
      }}
    >
      <SegmentedControl
        label={words.searchBy}
        value={by}
        options={[
          { value: "id", text: words.byId },
          { value: "trait", text: words.byTrait, title: words.traitHint },
        ]}
        onChange={setBy}
      />
      {by === "id" ? (
        <Input
          {...common}
          type="search"
          aria-label={words.id}
          placeholder={words.idPlaceholder}
          value={draft.id}
          onChange={(event) => {
            set({ id: event.target.value });
            // The button of the field that clears it submits nothing.
            if (event.target.value === "" && wanted.id !== "") onSearch({ id: "", trait: "", value: "" });
          }}
        />
      ) : (
        <>
          <Input
            {...common}
            className="ui-input-short"
            aria-label={words.trait}
            placeholder={words.traitPlaceholder}
            value={draft.trait}
            onChange={(event) => set({ trait: event.target.value })}
          />
          <Input
            {...common}
            className="ui-input-short"
            aria-label={words.value}
            placeholder={words.valuePlaceholder}
            value={draft.value}
            onChange={(event) => set({ value: event.target.value })}
          />
        </>
      )}
      <Button kind="primary" icon="search" type="submit">
        {words.search}
      </Button>
    </form>
  );
}
