-- Tokens that are no text, for which models can have prices of their own: parts of input_tokens and output_tokens.
alter table usage_records
    add column image_input_tokens bigint not null default 0,
    add column audio_input_tokens bigint not null default 0,
    add column image_output_tokens bigint not null default 0,
    add column audio_output_tokens bigint not null default 0;
