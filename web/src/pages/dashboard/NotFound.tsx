import { PageLink } from "../../shell/PageLink.tsx";
import { EmptyState } from "../../ui/placeholders.tsx";
import { boardStrings as words } from "./strings.ts";

export const NotFound = ({ name }: { name: string }) => (
  <EmptyState
    title={words.notFound(name)}
    action={
      <PageLink to="/dashboards" className="ui-button">
        {words.toList}
      </PageLink>
    }
  >
    {words.notFoundHint}
  </EmptyState>
);
