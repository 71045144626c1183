import { createContext, useContext } from "react";

/**
 * Where popups are put in the document: inside of a landmark, where screen readers look for content. Undefined puts them at
 * the end of the body, as a modal dialog needs it: everything else is hidden while it is open.
 */
export const PopupContainer = createContext<HTMLElement | undefined>(undefined);

export const usePopupContainer = (): HTMLElement | undefined => useContext(PopupContainer);
