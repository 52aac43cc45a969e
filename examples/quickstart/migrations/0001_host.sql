-- The quickstart's own tables: what a host brings along.

CREATE TABLE public.templates (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
SELECT tenancy.protect_table('public.templates');

CREATE TABLE public.leads (
    tenant_id uuid NOT NULL,
    id bigint NOT NULL,
    email text NOT NULL,
    stage text NOT NULL DEFAULT 'new',
    updates integer NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, id)
);
SELECT tenancy.protect_table('public.leads');
