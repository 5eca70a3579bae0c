/** To a page after a form. */
export const seeOther = (location: string) => new Response(null, { status: 303, headers: { location } });
