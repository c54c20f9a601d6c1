/* The files of one run, batch by batch. See load.h. */
#include "clerk/load.h"

#include "base/mem.h"
#include "base/text.h"
#include "clerk/csv.h"
#include "clerk/dat.h"
#include "clerk/reader.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>

struct Load {
    RowSink *sink;
    const ClerkLoad *load;
    RowContext context;
    Slice *source;
    Row row;
    Reader reader;
    Ndjson ndjson;
    Csv csv;
    uint64_t bytes_left;
    uint32_t files;
    SinkCounts counts;
    /* of the file that is loaded */
    char name[RUN_MAX_PATH + 1];
    SinkProgress progress;
    uint64_t line; /* the last one that was read */
    bool batch_open;
    uint64_t batch_start, batch_lines;
};

int load_begin(RowSink *sink, const ClerkLoad *load, Load **ret_load, Fault *fault)
{
    int r = sink->ops->ready(sink, fault);
    if (!r)
        r = sink->ops->claim(sink, slice_of(load->run), fault);
    if (r)
        return r;
    Load *l = MEM_NEW(Load);
    *l = (Load){.sink = sink, .load = load, .bytes_left = load->output_bytes};
    l->source = MEM_NEW_ARRAY(Slice, load->n_source + 1);
    for (size_t i = 0; i < load->n_source; i++)
        l->source[i] = slice_of(load->source[i]);
    l->context = (RowContext){.run = slice_of(load->run),
                              .retriever = slice_of(load->retriever),
                              .source = l->source,
                              .n_source = load->n_source,
                              .until = load->until,
                              .observed = load->observed};
    row_init(&l->row, &l->context);
    reader_init(&l->reader);
    ndjson_init(&l->ndjson);
    csv_init(&l->csv);
    *ret_load = l;
    return 0;
}

Load *load_end(Load *load)
{
    if (!load)
        return NULL;
    load->sink->ops->release(load->sink);
    mem_free(load->source);
    row_done(&load->row);
    reader_done(&load->reader);
    ndjson_done(&load->ndjson);
    csv_done(&load->csv);
    mem_free(load);
    return NULL;
}

LoadTotals load_totals(const Load *load)
{
    return (LoadTotals){.counts = load->counts, .files = load->files};
}

/* A file's name as a value: what is not UTF-8 is escaped, and what is then too long for a key ends in a hash.
 */
static void set_name(Load *load, Slice path)
{
    char escaped[4 * RUN_MAX_PATH + 1], hex[17];
    unsigned char digest[8];
    const char *ending = slice_ends(path, ".dat") ? ".dat" : slice_ends(path, ".csv") ? ".csv" : "";
    bool plain = text_is_utf8(path) && !memchr(path.ptr, '\0', path.len);
    size_t n = path.len;
    if (plain && n <= RUN_MAX_PATH)
        memcpy(load->name, path.ptr, n);
    else
        n = text_escape(escaped, sizeof(escaped), path.ptr, path.len);
    if (n <= RUN_MAX_PATH) {
        if (!plain)
            memcpy(load->name, escaped, n);
        load->name[n] = '\0';
        return;
    }
    size_t cut = RUN_MAX_PATH - 32;
    while (cut && ((unsigned char)escaped[cut] & 0xC0) == 0x80)
        cut--;
    crypto_generichash(digest, sizeof(digest), (const unsigned char *)path.ptr, path.len, NULL, 0);
    text_hex(hex, digest, sizeof(digest));
    snprintf(load->name, sizeof(load->name), "%.*s...%s%s", (int)cut, escaped, hex, ending);
}

static int open_batch(Load *load, Fault *fault)
{
    if (load->batch_open)
        return 0;
    int r = load->sink->ops->begin(load->sink, load->load->observed, &load->context.observed, fault);
    if (r)
        return r;
    load->batch_open = true;
    load->batch_start = load->reader.at;
    load->batch_lines = 0;
    return 0;
}

static int close_batch(Load *load, uint64_t end_byte, Fault *fault)
{
    if (!load->batch_open)
        return 0;
    SinkBatch batch = {.run = load->context.run,
                       .file = slice_of(load->name),
                       .retriever = load->context.retriever,
                       .number = load->progress.batches,
                       .end_byte = end_byte,
                       .end_line = load->line};
    SinkCounts counts;
    int r = load->sink->ops->commit(load->sink, &batch, &counts, fault);
    if (r)
        return r;
    load->batch_open = false;
    load->progress.batches++;
    load->counts.rows += counts.rows;
    load->counts.unchanged += counts.unchanged;
    return 0;
}

/* After each line, consumed: the batch may be full. */
static int turn(Load *load, Fault *fault)
{
    load->batch_lines++;
    bool full =
        load->batch_lines >= LOAD_BATCH_LINES || load->reader.at - load->batch_start >= LOAD_BATCH_BYTES;
    return full ? close_batch(load, load->reader.at, fault) : 0;
}

static int put_dead(Load *load, uint64_t line, const char *reason, Slice content, Fault *fault)
{
    load->counts.dead++;
    load->progress.dead++;
    if (load->progress.dead > LOAD_MAX_DEAD)
        return 0;
    if (load->progress.dead == LOAD_MAX_DEAD) {
        reason = "this file has more bad lines than are kept; this and the further ones are only counted";
        content.len = 0;
    }
    row_set_dead(&load->row, slice_of(load->name), line, reason, content);
    return load->sink->ops->row(load->sink, &load->row, fault);
}

/* The whole file is one dead letter, unless the ledger has it already. */
static int refuse_file(Load *load, const char *reason, Slice content, uint64_t size, Fault *fault)
{
    if (load->progress.batches)
        return 0;
    int r = open_batch(load, fault);
    if (!r)
        r = put_dead(load, 0, reason, content, fault);
    return r ? r : close_batch(load, size, fault);
}

/* A parser's verdict on one line: a row, a dead letter, or (-ENODATA) nothing. */
static int put_line(Load *load, int verdict, const char *reason, Slice content, Fault *fault)
{
    if (verdict == -ENODATA)
        return 0;
    if (verdict)
        return put_dead(load, load->line, reason, content, fault);
    return load->sink->ops->row(load->sink, &load->row, fault);
}

static int unreadable(Load *load, int error, Fault *fault)
{
    return fault_set(fault, CLERK_E_DATA, "%s cannot be read: %s", load->name, strerror(-error));
}

static bool is_blank(Slice line)
{
    for (size_t i = 0; i < line.len; i++)
        if (line.ptr[i] != ' ' && line.ptr[i] != '\t' && line.ptr[i] != '\r')
            return false;
    return true;
}

static void skip_bom(Reader *reader)
{
    if (reader->at == 0 && slice_starts(reader_window(reader), "\xEF\xBB\xBF"))
        reader_consume(reader, 3);
}

static int load_ndjson(Load *load, Fault *fault)
{
    Reader *reader = &load->reader;
    for (;;) {
        Fault why = {""};
        Slice line;
        size_t len;
        bool whole;
        int r = reader_line(reader, &line, &len, &whole);
        if (r == -ENODATA)
            return 0;
        if (r && r != -EFBIG)
            return unreadable(load, r, fault);
        if (reader->at == 0 && slice_starts(line, "\xEF\xBB\xBF"))
            line.ptr += 3, line.len -= 3;
        int opened = open_batch(load, fault);
        if (opened)
            return opened;
        load->line++;
        int verdict = is_blank(line) ? -ENODATA : -EINVAL;
        if (r == -EFBIG)
            fault_set(&why, 0, "the line is longer than %u bytes", READER_MAX_LINE);
        else if (verdict == -EINVAL)
            verdict = ndjson_parse(&load->ndjson, line, &load->row, &why);
        if (verdict == -EINVAL && !whole && r != -EFBIG)
            fault_prefix(&why, 0, "the last line, which has no line end");
        int put = put_line(load, verdict, why.text, line, fault);
        if (put)
            return put;
        if (r != -EFBIG || whole)
            reader_consume(reader, len);
        else if ((r = reader_skip_line(reader)))
            return unreadable(load, r, fault);
        if ((r = turn(load, fault)))
            return r;
    }
}

/* The next record; its verdict is 0, -EINVAL (with a sentence), or -ENODATA at the end of the file. */
static int next_record(Load *load, Slice *ret_record, int *ret_verdict, Fault *why, Fault *fault)
{
    bool last = false;
    for (;;) {
        Slice window = reader_window(&load->reader);
        size_t len = 0;
        CsvStep step = window.len || !last ? csv_step(window, last, &len) : CSV_MORE;
        if (window.len == 0 && last) {
            *ret_verdict = -ENODATA;
            return 0;
        }
        if (step == CSV_MORE && window.len > READER_MAX_LINE) {
            const char *end = memchr(window.ptr, '\n', window.len);
            *ret_record = (Slice){window.ptr, end ? (size_t)(end - window.ptr) + 1 : window.len};
            *ret_verdict = fault_set(
                why, -EINVAL, "the record is longer than %u bytes, or a quote has no end", READER_MAX_LINE);
            return 0;
        }
        if (step == CSV_MORE) {
            int r = reader_fill(&load->reader);
            last = r == -ENODATA;
            if (r && !last)
                return unreadable(load, r, fault);
            continue;
        }
        *ret_record = (Slice){window.ptr, len};
        *ret_verdict = step == CSV_BROKEN ? fault_set(why, -EINVAL, "its quotes do not match (RFC 4180)") : 0;
        return 0;
    }
}

static uint64_t count_lines(Slice record)
{
    uint64_t n = 0;
    for (const char *at = record.ptr, *end = at + record.len;
         at < end && (at = memchr(at, '\n', (size_t)(end - at)));)
        n++, at++;
    return n ? n : 1;
}

static int consume_record(Load *load, Slice record, Fault *fault)
{
    bool ended = record.len && record.ptr[record.len - 1] == '\n';
    reader_consume(&load->reader, record.len);
    int r = ended ? 0 : reader_skip_line(&load->reader); /* of one that is too long */
    return r ? unreadable(load, r, fault) : 0;
}

/* The header is read even when loading goes on in the middle of the file. */
static int load_csv_header(Load *load, bool *ret_sound, Fault *fault)
{
    Fault why = {""};
    Slice record;
    int verdict = 0, r = reader_fill(&load->reader);
    *ret_sound = false;
    if (r)
        return r == -ENODATA ? 0 : unreadable(load, r, fault);
    skip_bom(&load->reader);
    r = next_record(load, &record, &verdict, &why, fault);
    if (r)
        return r;
    if (!verdict)
        verdict = csv_header(&load->csv, record, table_of_file(slice_of(load->name)), &why);
    if (verdict == -ENODATA)
        return 0;
    if (verdict)
        return refuse_file(load, why.text, record, load->reader.limit, fault);
    *ret_sound = true;
    if (load->line == 0)
        load->line = count_lines(record);
    return consume_record(load, record, fault);
}

static int load_csv(Load *load, Fault *fault)
{
    bool sound = false;
    int r = load_csv_header(load, &sound, fault);
    if (!r && sound && load->progress.end_byte)
        reader_seek(&load->reader, load->progress.end_byte);
    while (!r && sound) {
        Fault why = {""};
        Slice record;
        int verdict = 0;
        r = next_record(load, &record, &verdict, &why, fault);
        if (r || verdict == -ENODATA)
            return r;
        r = open_batch(load, fault);
        if (r)
            return r;
        uint64_t lines = count_lines(record);
        load->line++; /* the record's first line: dead letters name it */
        if (!verdict)
            verdict = csv_parse(&load->csv, record, &load->row, &why);
        r = put_line(load, verdict, why.text, record, fault);
        load->line += lines - 1;
        if (!r)
            r = consume_record(load, record, fault);
        if (!r)
            r = turn(load, fault);
    }
    return r;
}

static int load_dat(Load *load, Fault *fault)
{
    Fault why = {""};
    if (load->progress.batches)
        return 0;
    for (int r = 0; !r && load->reader.len <= DAT_MAX_BYTES + 3;) {
        r = reader_fill(&load->reader);
        if (r && r != -ENODATA)
            return unreadable(load, r, fault);
    }
    skip_bom(&load->reader);
    Slice content = reader_window(&load->reader);
    int r = open_batch(load, fault);
    if (r)
        return r;
    load->line = 1;
    r = put_line(load, dat_parse(slice_of(load->name), content, &load->row, &why), why.text, content, fault);
    return r ? r : close_batch(load, load->reader.limit, fault);
}

static int load_by_ending(Load *load, Slice path, Fault *fault)
{
    if (slice_ends(path, ".ndjson") || slice_ends(path, ".jsonl")) {
        reader_seek(&load->reader, load->progress.end_byte);
        return load_ndjson(load, fault);
    }
    if (slice_ends(path, ".csv"))
        return load_csv(load, fault);
    if (slice_ends(path, ".dat"))
        return load_dat(load, fault);
    return refuse_file(load,
                       "its name does not end in .dat, .ndjson or .csv, so it is not known what is in it",
                       (Slice){"", 0}, load->reader.limit, fault);
}

static int start_file(Load *load, Slice path, Fault *fault)
{
    set_name(load, path);
    load->progress = (SinkProgress){0};
    load->batch_open = false;
    reader_open(&load->reader, -1, 0);
    int r = load->sink->ops->progress(load->sink, load->context.run, slice_of(load->name), &load->progress,
                                      fault);
    load->line = load->progress.end_line;
    load->counts.unchanged += load->progress.rows;
    return r;
}

static int finish_file(Load *load, int result, Fault *fault)
{
    if (!result)
        result = close_batch(load, load->reader.at, fault);
    if (result)
        load->sink->ops->abandon(load->sink);
    load->batch_open = false;
    return result;
}

static int load_checked(Load *load, int fd, Slice path, Fault *fault)
{
    char reason[160];
    struct stat status;
    load->files++;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return refuse_file(load, "not a plain file", (Slice){"", 0}, 0, fault);
    uint64_t size = (uint64_t)status.st_size;
    if (load->files > load->load->output_files) {
        snprintf(reason, sizeof(reason),
                 "the run left more than %u files; this and what came after it is not loaded",
                 load->load->output_files);
        return load->files == load->load->output_files + 1
                   ? refuse_file(load, reason, (Slice){"", 0}, size, fault)
                   : (int)(load->counts.dead++, 0);
    }
    if (size > load->bytes_left) {
        snprintf(reason, sizeof(reason),
                 "%llu bytes, and the run may leave no more than %llu in all its files",
                 (unsigned long long)size, (unsigned long long)load->load->output_bytes);
        return refuse_file(load, reason, (Slice){"", 0}, size, fault);
    }
    load->bytes_left -= size;
    reader_open(&load->reader, fd, size);
    char probe;
    if (size && pread(fd, &probe, 1, 0) < 0 && errno == EBADF)
        return refuse_file(load, "it was opened for writing only", (Slice){"", 0}, size, fault);
    return load_by_ending(load, path, fault);
}

int load_file(Load *load, int fd, Slice path, Fault *fault)
{
    int r = start_file(load, path, fault);
    if (!r)
        r = load_checked(load, fd, path, fault);
    return finish_file(load, r, fault);
}

int load_refuse(Load *load, Slice path, const char *reason, Fault *fault)
{
    int r = start_file(load, path, fault);
    load->files++;
    if (!r && load->files <= load->load->output_files)
        r = refuse_file(load, reason, (Slice){"", 0}, 0, fault);
    return finish_file(load, r, fault);
}
