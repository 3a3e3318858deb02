export const allocatorEnvironment: Readonly<Record<string, string>>;
