// Outside of Workers there is no environment to import.

export const env = undefined;
export const context = undefined;
