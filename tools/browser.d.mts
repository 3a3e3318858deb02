export const HOW_TO_GET_A_BROWSER: string;
export const BROWSER_ARGUMENTS: string[];
export function findBrowser(): string | undefined;
